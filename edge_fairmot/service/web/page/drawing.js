/** Lines, zones and ignored zones of the device, and changes on their way to it. */

const MAX_UNDO = 20;

export const KINDS = ["line", "zone", "ignore"];
const none = () => Object.fromEntries(KINDS.map((kind) => [kind, []]));
const copied = (shapes) => structuredClone(Object.fromEntries(KINDS.map((kind) => [kind, shapes[kind] ?? []])));

export class Drawing extends EventTarget {
  line = [];
  zone = [];
  ignore = [];
  savedTo = null;
  /** Reason why the device could not save the shapes, or null. */
  notSaved = null;
  /** True while a shape is dragged: updates from the device wait. */
  held = false;
  #revision = 0;
  #known = none();
  #before = [];
  #saving = false;
  #changed = false;

  get undoable() {
    return this.#before.length > 0;
  }

  /** Take the shapes of the device, unless a newer change is on its way to it. */
  take(document) {
    if (this.held || this.#saving || document.revision === this.#revision) return;
    this.#accept(document);
  }

  /** Take the next shapes in any case: a restarted device counts its revisions from 1 again. */
  forget() {
    this.#revision = 0;
  }

  /** Change the shapes: edit({line, zone, ignore}) changes a copy, which is saved. */
  change(edit) {
    const next = copied(this);
    edit(next);
    this.#before.push(this.#known);
    if (this.#before.length > MAX_UNDO) this.#before.shift();
    this.#put(next);
  }

  /** Undo the last change of this page. */
  undo() {
    const before = this.#before.pop();
    if (before) this.#put(structuredClone(before));
  }

  /** Show a shape that is being dragged; nothing is saved. */
  preview(edit) {
    const next = structuredClone(this.#known);
    edit(next);
    Object.assign(this, next);
    this.dispatchEvent(new Event("preview"));
  }

  /** End a preview. */
  revert() {
    Object.assign(this, copied(this.#known));
    this.dispatchEvent(new Event("preview"));
  }

  #put(shapes) {
    Object.assign(this, copied(shapes));
    this.#known = copied(shapes);
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
      answer = await fetch("api/counting", {
        method: "PUT",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ revision: this.#revision, ...copied(this) }),
      });
      document = await answer.json();
    } catch {
      return this.#refused("The device cannot be reached: the change is not saved.");
    }
    if (answer.ok) {
      this.#revision = document.revision;
      this.#noteSaved(document);
      this.dispatchEvent(new Event("saved"));
      if (this.notSaved) this.#complain(`It counts, but is not saved: ${this.notSaved}`);
      return undefined;
    }
    if (answer.status === 409) {
      this.#complain("Another page has changed the lines and zones: these are the new ones; draw yours again.");
      return this.#accept(document);
    }
    return this.#refused(document.error ?? `The device refused it (${answer.status}).`);
  }

  async #refused(reason) {
    this.#complain(reason);
    try {
      this.#accept(await (await fetch("api/counting")).json());
    } catch {
      this.#revision = 0; // the next status brings the shapes of the device
    }
  }

  #accept(document) {
    this.#revision = document.revision;
    this.#noteSaved(document);
    Object.assign(this, copied(document));
    this.#known = copied(document);
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
