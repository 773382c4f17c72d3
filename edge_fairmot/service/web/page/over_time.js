/** What was counted over time: totals, bars by hour or day, the same as a table, and the events. */

import { BarChart } from "./chart.js";
import { duration, make, write } from "./elements.js";

const REFRESH_MS = 15_000;

// Days up to today, and how they are counted.
const PERIODS = { today: ["Today", 1, "hour"], yesterday: ["Yesterday", 1, "hour"], week: ["7 days", 7, "day"], month: ["30 days", 30, "day"], quarter: ["90 days", 90, "day"], date: ["One day", 1, "hour"] };

const VERBS = { in: "in", out: "out", enter: "entered", leave: "left" };

const ALL = "all lines";

export class OverTime {
  #base = "";
  #today = "";
  #totals = [];
  #before = []; // the pages of events that were turned over
  #next = null;
  #shownEvents = "";
  #refreshing = false;
  #again = false;

  /** `root` is the card, `events` that of the events. */
  constructor(root, events) {
    this.root = root;
    this.eventsRoot = events;
    this.shape = make("select", { "aria-label": "Line or zone" });
    this.period = make("select", { "aria-label": "Time" }, ...Object.entries(PERIODS).map(([value, [name]]) => make("option", { value }, name)));
    this.day = make("input", { type: "date", "aria-label": "Day", hidden: "" });
    this.csv = make("a", { class: "button", download: "" }, "CSV");
    this.since = make("dl", { class: "since" });
    const figure = make("figure");
    this.chart = new BarChart(figure);
    this.legend = make("p", { class: "legend quiet" });
    this.table = make("table");
    const details = make("details", {}, make("summary", {}, "As a table"), make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Counts as a table" }, this.table));
    this.head = make("div", { class: "head" }, make("h2", {}, "Over time"), this.shape, this.period, this.day, this.csv);
    root.append(this.head, this.since, figure, this.legend, details);
    for (const field of [this.shape, this.period, this.day]) field.addEventListener("change", () => this.refresh());

    this.rows = make("tbody");
    this.newer = make("button", { type: "button", "aria-disabled": "true" }, "Newer");
    this.older = make("button", { type: "button", "aria-disabled": "true" }, "Older");
    this.eventsCsv = make("a", { class: "button", download: "" }, "CSV");
    this.nothing = make("p", { class: "quiet" }, "Nothing has happened yet.");
    const heads = ["Time", "What", "Id", "Clip"].map((name) => make("th", { scope: "col" }, name));
    this.list = make("table", { class: "events" }, make("thead", {}, make("tr", {}, ...heads)), this.rows);
    events.append(make("div", { class: "head" }, make("h2", {}, "Events"), this.newer, this.older, this.eventsCsv), this.nothing, this.list);
    this.newer.addEventListener("click", () => this.#turn(this.newer, () => this.#before.pop()));
    this.older.addEventListener("click", () => this.#turn(this.older, () => this.#before.push(this.#next)));

    setInterval(() => document.visibilityState === "visible" && this.refresh(), REFRESH_MS);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.refresh());
  }

  /** Let a camera be chosen, of [name, path] pairs. */
  offer(cameras) {
    const choice = make("select", { "aria-label": "Camera" }, ...cameras.map(([name, path]) => make("option", { value: path }, name)));
    choice.addEventListener("change", () => this.open(choice.value));
    this.head.firstElementChild.after(choice);
    this.open(cameras[0][1]);
  }

  /** Show the camera at a path, relative to the page. */
  open(base) {
    this.#base = base;
    this.#before = [];
    this.root.hidden = this.eventsRoot.hidden = false;
    this.eventsCsv.href = `${base}api/history/events.csv`;
    this.refresh();
  }

  /** Ask for everything that is shown; a call during another one asks again after it. */
  async refresh() {
    if (this.root.hidden) return;
    this.#again = this.#refreshing;
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      const { now, totals } = await this.#ask("totals");
      this.#today = now.slice(0, 10);
      this.#totals = totals;
      this.#showChoice();
      this.#showSince();
      await Promise.all([this.#showCounts(), this.#showEvents()]);
      this.root.dataset.shown = now;
    } catch (error) {
      if (error instanceof TypeError) return; // the device is away; the page says so
      throw error;
    } finally {
      this.#refreshing = false;
      if (this.#again) this.refresh();
    }
  }

  async #ask(path) {
    const answer = await fetch(`${this.#base}api/history/${path}`);
    if (!answer.ok) throw new TypeError(`${path}: ${answer.status}`);
    return answer.json();
  }

  get #chosen() {
    return this.#totals.filter((one) => (this.shape.value === ALL ? one.kind === "line" : keyOf(one) === this.shape.value));
  }

  #showChoice() {
    const lines = this.#totals.filter(({ kind }) => kind === "line");
    const options = [...(lines.length > 1 ? [[ALL, "All lines"]] : []), ...this.#totals.map((one) => [keyOf(one), one.name])];
    const shown = [...this.shape.options].map(({ value, text }) => [value, text]);
    if (JSON.stringify(shown) === JSON.stringify(options)) return;
    const chosen = this.shape.value;
    this.shape.replaceChildren(...options.map(([value, name]) => make("option", { value }, name)));
    if (options.some(([value]) => value === chosen)) this.shape.value = chosen;
  }

  #showSince() {
    const chosen = this.#chosen;
    if (!chosen.length) return this.since.replaceChildren();
    const first = chosen.map(({ since }) => since).sort()[0];
    const spans = { today: "Today", yesterday: "Yesterday", all: `Since ${spoken(first.slice(0, 10))} ${first.slice(11, 16)}` };
    return this.since.replaceChildren(
      ...Object.entries(spans).map(([key, name]) => make("div", {}, make("dt", {}, name), make("dd", {}, figures(chosen.map((one) => one[key]), chosen[0].kind)))),
    );
  }

  async #showCounts() {
    const { from, to, by } = this.#span();
    const query = `from=${from}&to=${to}&by=${by}`;
    this.csv.href = `${this.#base}api/history/counts.csv?${query}`;
    const { rows } = await this.#ask(`counts?${query}`);
    const chosen = new Set(this.#chosen.map(keyOf));
    const isZone = this.#chosen[0]?.kind === "zone";
    const buckets = bucketsOf(from, to, by);
    const values = new Map(buckets.map(({ key }) => [key, { in: 0, out: 0, entries: 0, most: 0 }]));
    for (const row of rows) {
      const sums = values.get(row.start.slice(0, by === "day" ? 10 : 13));
      if (!sums || !chosen.has(keyOf(row))) continue;
      for (const key of ["in", "out", "entries"]) sums[key] += row[key] ?? 0;
      sums.most = Math.max(sums.most, row.max_occupancy ?? 0);
    }
    const shown = isZone ? { entries: "entries", most: "most at a time" } : { in: "in", out: "out" };
    const series = Object.entries(shown).map(([key, name]) => ({ name, values: buckets.map((bucket) => values.get(bucket.key)[key]) }));
    const sums = series.map(({ name, values: all }) => `${name === "most at a time" ? Math.max(...all) : all.reduce((a, b) => a + b, 0)} ${name}`);
    const title = `${this.shape.selectedOptions[0]?.text ?? "Nothing counted"}, ${from === addDays(to, -1) ? spoken(from) : `${spoken(from)} to ${spoken(addDays(to, -1))}`}, by ${by}: ${sums.join(", ")}`;
    this.chart.show({ label: title, buckets, series });
    this.legend.replaceChildren(...series.flatMap(({ name }, number) => [make("i", { class: `key bar-${number}` }), `${name} `]));
    this.#showTable(title, by, buckets, series);
  }

  #showTable(title, by, buckets, series) {
    const head = make("tr", {}, make("th", { scope: "col" }, by === "day" ? "Day" : "Hour"), ...series.map(({ name }) => make("th", { scope: "col" }, name)));
    const rows = buckets.map(({ long }, index) => make("tr", {}, make("th", { scope: "row" }, long), ...series.map(({ values }) => make("td", {}, String(values[index])))));
    this.table.replaceChildren(make("caption", {}, title), make("thead", {}, head), make("tbody", {}, ...rows));
  }

  #span() {
    this.day.hidden = this.period.value !== "date";
    this.day.max = this.#today;
    this.day.value ||= this.#today;
    const [, days, by] = PERIODS[this.period.value];
    const last = { yesterday: addDays(this.#today, -1), date: this.day.value }[this.period.value] ?? this.#today;
    return { from: addDays(last, 1 - days), to: addDays(last, 1), by };
  }

  #turn(button, act) {
    if (button.ariaDisabled === "true") return;
    act();
    this.refresh();
  }

  async #showEvents() {
    const before = this.#before.at(-1);
    const { events, before: next } = await this.#ask(`events?limit=12${before ? `&before=${before}` : ""}`);
    this.#next = next;
    this.older.ariaDisabled = String(next === null); // the focus stays on it
    this.newer.ariaDisabled = String(this.#before.length === 0);
    this.nothing.hidden = events.length > 0;
    const shown = JSON.stringify(events);
    if (shown === this.#shownEvents || (before === undefined && this.rows.querySelector("video"))) return;
    this.#shownEvents = shown;
    this.list.classList.toggle("clips", events.some(({ clip }) => clip !== null));
    this.rows.replaceChildren(...events.map((event) => this.#row(event)));
  }

  #row({ time, event, name, track_id: id, dwell_s: dwell, clip, class: className }) {
    const day = time.slice(0, 10);
    const when = make("time", { datetime: time }, `${day === this.#today ? "" : `${spoken(day)} `}${time.slice(11, 19)}`);
    const stay = dwell === null ? "" : ` after ${duration(dwell)}`;
    const what = make("td", {}, make("b", {}, name), ` ${VERBS[event]}${stay}${className === "person" ? "" : `, ${className}`}`);
    const cell = make("td");
    const row = make("tr", {}, make("td", {}, when), what, make("td", {}, String(id)), cell);
    if (clip !== null) cell.append(this.#clipButton(row, clip, `${name} ${VERBS[event]} at ${time.slice(11, 19)}`));
    return row;
  }

  #clipButton(row, clip, label) {
    const button = make("button", { type: "button", "aria-expanded": "false", "aria-label": `Clip: ${label}` }, "▶");
    button.addEventListener("click", () => {
      const open = row.nextElementSibling?.querySelector("video");
      button.setAttribute("aria-expanded", String(!open));
      write(button, open ? "▶" : "✕");
      if (open) return open.closest("tr").remove();
      const video = make("video", { src: `${this.#base}${clip}`, controls: "", muted: "", playsinline: "", "aria-label": label });
      video.addEventListener("error", () => video.replaceWith("The clip was deleted to make room."));
      row.after(make("tr", {}, make("td", { colspan: "4" }, video)));
      return video.play().catch(() => {});
    });
    return button;
  }
}

const keyOf = ({ kind, id }) => `${kind} ${id}`;

function figures(totals, kind) {
  const sum = (key) => totals.reduce((all, one) => all + one[key], 0);
  if (kind === "line") return `${sum("in")} in, ${sum("out")} out`;
  const [{ entries, mean_dwell_s: mean }] = totals;
  return `${entries} entries${mean === null ? "" : `, ${duration(mean)} on average`}`;
}

/** All hours of a day, or all days; those that come twice are one. */
function bucketsOf(from, to, by) {
  if (by === "hour") {
    return Array.from({ length: 24 }, (_, hour) => {
      const two = String(hour).padStart(2, "0");
      return { key: `${from}T${two}`, short: two, long: `${two}:00 to ${String(hour + 1).padStart(2, "0")}:00` };
    });
  }
  const days = [];
  for (let day = from; day < to; day = addDays(day, 1)) days.push({ key: day, short: spoken(day).replace(/^\S+ /, ""), long: spoken(day) });
  return days;
}

function addDays(day, count) {
  return new Date(Date.parse(day) + 86_400_000 * count).toISOString().slice(0, 10);
}

/** A date as this browser's language writes it; it has no zone. */
function spoken(day) {
  return new Date(Date.parse(day)).toLocaleDateString(undefined, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
}
