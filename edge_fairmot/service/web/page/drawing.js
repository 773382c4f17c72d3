/** Lines, zones and ignored zones of the device, and changes on their way to it. */

const MAX_UNDO = 20;

export const KINDS = ["line", "zone", "ignore"];
const none = () => Object.fromEntries(KINDS.map((kind) => [kind, []]));
const copied = (shapes) => structuredClone(Object.fromEntries(KINDS.map((kind) => [kind, shapes[kind] ?? []])));
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const byKey = (shapes) => new Map(shapes.map((shape) => [keyOf(shape), shape]));

/** What a shape is known by, under any name. */
export function keyOf({ id, name }) {
  return id ?? name;
}

/** The first of "line 1", "line 2" ... that no shape has. */
export function freeName(kind, shapes) {
  const taken = new Set(shapes.map(({ name }) => name));
  let number = 1;
  while (taken.has(`${kind} ${number}`)) number += 1;
  return `${kind} ${number}`;
}

/** Apply the changes from `base` to `mine` to the shapes `theirs`. */
function merged(base, mine, theirs) {
  return Object.fromEntries(KINDS.map((kind) => [kind, mergedKind(kind, base[kind], mine[kind], theirs[kind])]));
}

function mergedKind(kind, base, mine, theirs) {
  const [was, now, there] = [base, mine, theirs].map(byKey);
  const unchanged = (key) => same(was.get(key), now.get(key));
  const kept = theirs.filter((shape) => !was.has(keyOf(shape)) || now.has(keyOf(shape)));
  const shapes = kept.map((shape) => (unchanged(keyOf(shape)) ? shape : now.get(keyOf(shape)) ?? shape));
  mine.forEach((shape, index) => {
    const key = keyOf(shape);
    if (there.has(key) || unchanged(key)) return;
    const clash = shapes.some(({ name }) => name === shape.name);
    shapes.splice(index, 0, clash ? { ...shape, name: freeName(kind, shapes) } : shape);
  });
  return structuredClone(shapes);
}

export class Drawing extends EventTarget {
  line = [];
  zone = [];
  ignore = [];
  savedTo = null;
  /** Reason why the device could not save the shapes, or null. */
  notSaved = null;
  /** True while the device cannot be reached and has not got the last change. */
  away = false;
  /** True while a shape is dragged: updates from the device wait. */
  held = false;
  #revision = 0;
  #device = none(); // the shapes of that revision
  #known = none(); // those with the changes of this page
  #before = []; // [shapes before, shapes after] of every change
  #saving = false;
  #changed = false;

  get undoable() {
    return this.#before.length > 0;
  }

  /** Take the shapes of the device, and send what it has not got yet. */
  take(document) {
    if (this.held || this.#saving || (document.revision === this.#revision && !this.#changed)) return;
    this.#accept(document);
    if (this.#changed) this.#save();
  }

  /** Take the next shapes in any case: a restarted device counts its revisions from 1 again. */
  forget() {
    this.#revision = 0;
  }

  /** Change the shapes: edit({line, zone, ignore}) changes a copy, which is saved. */
  change(edit) {
    const next = copied(this);
    edit(next);
    this.#before.push([this.#known, copied(next)]);
    if (this.#before.length > MAX_UNDO) this.#before.shift();
    this.#put(next);
  }

  /** Undo the last change of this page; changes of other pages stay. */
  undo() {
    const change = this.#before.pop();
    if (change) this.#put(merged(change[1], change[0], this.#known));
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
    this.#changed = true;
    this.#show(shapes);
    this.#save();
  }

  #show(shapes) {
    Object.assign(this, copied(shapes));
    this.#known = copied(shapes);
    this.dispatchEvent(new Event("change"));
  }

  async #save() {
    if (this.#saving) return;
    this.#saving = true;
    try {
      while (this.#changed && (await this.#send()));
    } finally {
      this.#saving = false;
    }
  }

  /** Send the shapes; true if the device has answered. */
  async #send() {
    this.#changed = false;
    const sent = copied(this.#known);
    let answer;
    let document;
    try {
      answer = await fetch("api/counting", {
        method: "PUT",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ revision: this.#revision, ...sent }),
      });
      document = await answer.json();
    } catch {
      this.#changed = true; // it is sent with the device's next status
      if (!this.away) this.#complain("The device cannot be reached: the change is saved when it is back.");
      this.away = true;
      this.dispatchEvent(new Event("saved"));
      return false;
    }
    this.away = false;
    if (answer.ok) {
      this.#revision = document.revision;
      this.#device = sent;
      this.#noteSaved(document);
      this.dispatchEvent(new Event("saved"));
      if (this.notSaved) this.#complain(`It counts, but is not saved: ${this.notSaved}`);
    } else if (answer.status === 409) {
      this.#changed = true;
      this.#accept(document); // and send again what was changed here
    } else {
      this.#complain(document.error ?? `The device refused it (${answer.status}).`);
      this.#before.pop();
      this.#show(this.#device);
    }
    return true;
  }

  #accept(document) {
    const theirs = copied(document);
    const shapes = this.#changed ? merged(this.#device, this.#known, theirs) : theirs;
    this.#revision = document.revision;
    this.#device = theirs;
    this.#noteSaved(document);
    this.#show(shapes);
  }

  #noteSaved({ saved_to: savedTo, not_saved: notSaved }) {
    this.savedTo = savedTo;
    this.notSaved = notSaved;
  }

  #complain(text) {
    this.dispatchEvent(new CustomEvent("complaint", { detail: text }));
  }
}
