/** What a screen reader says: answers to the user at once, news of the run once in ten seconds at most. */

const PAUSE_MS = 10_000;
const CALM_MS = 400; // keys that are held down say their end only

export class Announcer {
  #element;
  #news = new Map(); // by topic
  #told = new Map();
  #quietUntil = 0;
  #timer = 0;
  #answer = 0;

  constructor(element) {
    this.#element = element;
  }

  /** Answer something that the user did. */
  say(text) {
    clearTimeout(this.#answer);
    this.#answer = setTimeout(() => this.#speak(text), CALM_MS);
  }

  /** Tell news of a topic, if they are new. */
  tell(topic, text) {
    this.#news.set(topic, text);
    this.#timer ||= setTimeout(() => this.#tellNews(), Math.max(CALM_MS, this.#quietUntil - performance.now()));
  }

  #tellNews() {
    this.#timer = 0;
    if (performance.now() < this.#quietUntil) return [...this.#news].forEach((news) => this.tell(...news)); // an answer came between
    const news = [...this.#news].filter(([topic, text]) => text && text !== this.#told.get(topic));
    this.#news.clear();
    for (const [topic, text] of news) this.#told.set(topic, text);
    if (news.length) this.#speak(news.map(([, text]) => text).join(". "));
    return undefined;
  }

  #speak(text) {
    this.#quietUntil = performance.now() + PAUSE_MS;
    this.#element.textContent = text;
  }
}
