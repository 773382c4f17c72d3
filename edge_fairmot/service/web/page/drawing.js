/** Lines and zones as the device has them, and changes on their way there. */

const MOST_UNDONE = 20;

export class Drawing extends EventTarget {
  line = [];
  zone = [];
  savedTo = null;
  /** Why the device could not save what it counts; null where it could. */
  notSaved = null;
  /** True while something is dragged: news from the device waits. */
  held = false;
  #revision = 0;
  #known = { line: [], zone: [] };
  #before = [];
  #saving = false;
  #changed = false;

  get undoable() {
    return this.#before.length > 0;
  }

  /** Take over what the device has, unless something newer is on its way there. */
  take(document) {
    if (this.held || this.#saving || document.revision === this.#revision) return;
    this.#accept(document);
  }

  /** Take over whatever comes next: the device may have been started anew, and count its changes from 1. */
  forget() {
    this.#revision = 0;
  }

  /** Change the drawing: edit({line, zone}) alters a copy, which is saved. */
  change(edit) {
    const next = structuredClone({ line: this.line, zone: this.zone });
    edit(next);
    this.#before.push({ line: this.#known.line, zone: this.#known.zone });
    if (this.#before.length > MOST_UNDONE) this.#before.shift();
    this.#put(next);
  }

  /** Take the last change of this page back. */
  undo() {
    const before = this.#before.pop();
    if (before) this.#put(structuredClone(before));
  }

  /** Show what is being dragged; nothing is saved. */
  preview(edit) {
    const next = structuredClone(this.#known);
    edit(next);
    this.line = next.line;
    this.zone = next.zone;
    this.dispatchEvent(new Event("preview"));
  }

  /** Go back from a preview. */
  revert() {
    this.line = structuredClone(this.#known.line);
    this.zone = structuredClone(this.#known.zone);
    this.dispatchEvent(new Event("preview"));
  }

  #put({ line, zone }) {
    this.line = line;
    this.zone = zone;
    this.#known = structuredClone({ line, zone });
    this.#changed = true;
    this.dispatchEvent(new Event("change"));
    this.#save();
  }

  async #save() {
    if (this.#saving) return;
    this.#saving = true;
    try {
      while (this.#changed) {
        this.#changed = false;
        await this.#send();
      }
    } finally {
      this.#saving = false;
    }
  }

  async #send() {
    let answer;
    let document;
    try {
      answer = await fetch("/api/counting", {
        method: "PUT",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ revision: this.#revision, line: this.line, zone: this.zone }),
      });
      document = await answer.json();
    } catch {
      return this.#refused("The device cannot be reached: what you drew is not saved.");
    }
    if (answer.ok) {
      this.#revision = document.revision;
      this.#noteSaved(document);
      this.dispatchEvent(new Event("saved"));
      if (this.notSaved) this.#complain(`It counts, but is not saved: ${this.notSaved}`);
      return undefined;
    }
    if (answer.status === 409) {
      this.#complain("Somebody else has just changed the drawing: this is theirs; draw yours again.");
      return this.#accept(document);
    }
    return this.#refused(document.error ?? `The device refused it (${answer.status}).`);
  }

  async #refused(reason) {
    this.#complain(reason);
    try {
      this.#accept(await (await fetch("/api/counting")).json());
    } catch {
      this.#revision = 0; // the next status brings what the device has
    }
  }

  #accept(document) {
    this.#revision = document.revision;
    this.#noteSaved(document);
    this.line = document.line;
    this.zone = document.zone;
    this.#known = structuredClone({ line: document.line, zone: document.zone });
    this.#changed = false;
    this.#before = [];
    this.dispatchEvent(new Event("change"));
  }

  #noteSaved({ saved_to: savedTo, not_saved: notSaved }) {
    this.savedTo = savedTo;
    this.notSaved = notSaved;
  }

  #complain(text) {
    this.dispatchEvent(new CustomEvent("complaint", { detail: text }));
  }
}
