/** The figures beside the image. */

import { KINDS, keyOf } from "./drawing.js";
import { draw, duration, make, write } from "./elements.js";
import { WORDS, insideOf } from "./shapes.js";

const HISTORY = 120; // seconds, one value each

// These stages wait: for the camera's next frame, and for the network that cameras share.
const WAITS = { decode: "for the camera, and to decode", turn: "for the network" };

const LABELS = { line: { inwards: "in", outwards: "out" }, zone: { occupancy: "inside", entries: "entries", dwell: "mean" }, ignore: {} };

const byId = (id) => document.getElementById(id);

/** The list of lines and zones with their counts. */
export class CountList {
  #list = byId("counts");
  #drawing;
  #editor;
  #figures = []; // [kind, name, elements by figure]
  #totals = { lines: {}, zones: {} };
  #classNames = []; // of a model of several classes
  #stale = false; // a change waits until nobody types

  constructor(drawing, editor) {
    this.#drawing = drawing;
    this.#editor = editor;
    for (const source of [drawing, editor]) source.addEventListener("change", () => this.#rebuild());
    this.#list.addEventListener("focusout", ({ relatedTarget }) => {
      if (this.#stale && !relatedTarget?.matches("#counts input")) this.#rebuild();
    });
    this.#rebuild();
  }

  show(totals, classNames = this.#classNames) {
    this.#totals = totals;
    if (classNames.join() !== this.#classNames.join()) {
      this.#classNames = classNames;
      return this.#rebuild();
    }
    for (const [kind, name, elements] of this.#figures) {
      const values = kind === "line" ? lineFigures(totals.lines[name]) : kind === "zone" ? zoneFigures(totals.zones[name]) : {};
      for (const [key, text] of Object.entries(values)) if (elements[key]) write(elements[key], text);
    }
    return undefined;
  }

  /** Draw the rows anew; never under somebody's typing, and the focus stays on its control. */
  #rebuild() {
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    this.#stale = focused?.matches("input") ?? false;
    if (this.#stale) return;
    const at = focused && [...this.#list.children].findIndex((row) => row.contains(focused));
    const label = focused?.textContent;
    this.#figures = [];
    const rows = KINDS.flatMap((kind) => this.#drawing[kind].map((shape, index) => this.#row(kind, shape, index)));
    this.#list.replaceChildren(...rows);
    byId("nothing").hidden = rows.length > 0;
    if (focused) {
      const row = rows[Math.min(at, rows.length - 1)];
      const button = [...(row?.querySelectorAll("button") ?? [])].find(({ textContent }) => textContent === label);
      (button ?? row?.querySelector("button") ?? byId("draw-line")).focus();
    }
    this.show(this.#totals);
  }

  /** Put the focus on the name of a shape, to be typed. */
  focusName({ kind, index }) {
    const before = KINDS.slice(0, KINDS.indexOf(kind)).reduce((sum, one) => sum + this.#drawing[one].length, 0);
    this.#list.children[before + index]?.querySelector("input").select();
  }

  #row(kind, shape, index) {
    const chosen = this.#editor.selected?.kind === kind && this.#editor.selected.index === index;
    const name = make("input", { value: shape.name, maxlength: 60, "aria-label": `Name of the ${WORDS[kind]} ${shape.name}`, spellcheck: "false" });
    name.addEventListener("change", () => this.#rename(kind, shape, name));
    name.addEventListener("keydown", ({ key }) => {
      if (key !== "Enter") return;
      name.blur(); // saves it
      const now = this.#drawing[kind].findIndex((one) => keyOf(one) === keyOf(shape));
      if (now >= 0) this.focusName({ kind, index: now });
    });
    const head = make("div", { class: "name" }, name);
    if (kind === "line") head.append(this.#button("⇄", `Turn ${shape.name} around`, () => this.#flip(index)));
    head.append(this.#button("✕", `Delete ${shape.name}`, () => this.#editor.remove({ kind, index })));
    const labels = LABELS[kind];
    const elements = {};
    const figures = make("div", { class: "figures" }, ...(kind === "ignore" ? ["ignored: nobody in it is tracked"] : []));
    for (const [key, label] of Object.entries(labels)) {
      elements[key] = make("b");
      figures.append(make("span", {}, elements[key], label));
    }
    const row = make("li", { class: `${kind}${chosen ? " selected" : ""}` }, head, figures);
    if (this.#classNames.length && kind !== "ignore") row.append(this.#classesOf(kind, shape), (elements.classes = make("p", { class: "quiet" })));
    this.#figures.push([kind, shape.name, elements]);
    row.addEventListener("click", (event) => {
      if (!chosen && !event.target.closest("button, input")) this.#editor.select({ kind, index });
    });
    return row;
  }

  /** The classes that a shape counts, to be typed. The device refuses those that are not tracked. */
  #classesOf(kind, shape) {
    const value = (shape.classes ?? []).join(", ");
    const hint = `all classes: ${this.#classNames.join(", ")}`;
    const names = { placeholder: hint, title: hint, "aria-label": `Classes of ${shape.name}` };
    const input = make("input", { value, class: "classes", spellcheck: "false", ...names });
    input.addEventListener("change", () => {
      const classes = input.value.split(",").map((name) => name.trim()).filter(Boolean);
      this.#change(kind, shape, (changed) => (changed.classes = classes));
    });
    input.addEventListener("keydown", (event) => event.key === "Enter" && input.blur());
    return input;
  }

  #button(sign, label, act) {
    const button = make("button", { type: "button", "aria-label": label, title: label }, sign);
    button.addEventListener("click", act);
    return button;
  }

  #rename(kind, shape, input) {
    const name = input.value.trim();
    if (!name) input.value = shape.name;
    else
      this.#change(kind, shape, (changed) => {
        changed.id ??= changed.name; // its counts belong to it
        changed.name = name;
      });
  }

  /** Change a shape, wherever it is in the list by now; another browser may have deleted it. */
  #change(kind, shape, act) {
    if (!this.#drawing[kind].some((one) => keyOf(one) === keyOf(shape))) return this.#rebuild();
    return this.#drawing.change((draft) => act(draft[kind].find((one) => keyOf(one) === keyOf(shape))));
  }

  #flip(index) {
    this.#drawing.change(({ line }) => ([line[index].start, line[index].end] = [line[index].end, line[index].start]));
  }
}

function lineFigures({ in: inwards, out: outwards, classes = {} } = { in: 0, out: 0 }) {
  const seen = Object.entries(classes).filter(([, one]) => one.in || one.out);
  const byClass = seen.map(([name, one]) => `${name} ${one.in}/${one.out}`).join(" · ");
  return { inwards: String(inwards), outwards: String(outwards), classes: byClass };
}

function zoneFigures(zone) {
  const { entries, stays, mean_dwell_s: dwell, classes = {} } = zone ?? { entries: 0, stays: 0 };
  const seen = Object.entries(classes).filter(([, one]) => one.entries);
  const byClass = seen.map(([name, one]) => `${name} ${insideOf(one)} of ${one.entries}`).join(" · ");
  return { occupancy: insideOf(zone), entries: String(entries), dwell: stays ? duration(dwell) : "–", classes: byClass };
}

/** Frame rate, delay, temperature and stage times. */
export class DevicePanel {
  #people = [];

  /** Called for every frame; class names come where the model has several classes. */
  showPeople(tracks, classNames = []) {
    write(byId("people"), String(tracks.length));
    if (!classNames.length) return;
    write(byId("people-title"), "In view now");
    const counted = classNames.map((name, classId) => [name, tracks.filter((track) => track.class_id === classId).length]);
    write(byId("in-view"), counted.filter(([, count]) => count).map(([name, count]) => `${name} ${count}`).join(" · "));
  }

  /** Called once a second. */
  show(status, people) {
    write(byId("frame-rate"), status.frame_rate.toFixed(1));
    write(byId("speed"), `${status.frame_rate.toFixed(1)} frames/s`);
    write(byId("page-delay"), status.page_delay_ms === null ? "–" : `${Math.round(status.page_delay_ms)} ms`);
    write(byId("dropped"), String(status.dropped));
    write(byId("temperature"), status.temperature_c === null ? "–" : `${status.temperature_c.toFixed(0)} °C`);
    write(byId("reconnects"), String(status.source.reconnects));
    write(byId("viewers"), String(status.viewers));
    write(byId("identities"), String(status.identities));
    this.#showStages(status.stage_ms);
    if (people !== null) this.#showHistory(people);
  }

  #showStages(stages) {
    const list = byId("stages");
    const names = Object.keys(stages).filter((name) => !(name in WAITS));
    const waits = Object.keys(WAITS).filter((name) => stages[name] > 0);
    write(byId("waits"), waits.length ? `Waiting, ms a frame: ${waits.map((name) => `${stages[name].toFixed(1)} ${WAITS[name]}`).join("; ")}` : "");
    if (list.childElementCount !== names.length) {
      list.replaceChildren(...names.map((name) => make("li", {}, make("span", {}, name), make("progress", { "aria-label": name }), make("span"))));
    }
    const longest = Math.max(...names.map((name) => stages[name]), 1e-3);
    names.forEach((name, index) => {
      const [, bar, figure] = list.children[index].children;
      bar.value = stages[name] / longest;
      write(figure, stages[name].toFixed(1));
    });
  }

  #showHistory(people) {
    this.#people.push(people);
    if (this.#people.length > HISTORY) this.#people.shift();
    const highest = Math.max(...this.#people, 1);
    const right = this.#people.length - 1;
    const points = this.#people.map((value, index) => `${HISTORY - right + index - 1},${(39 - (37 * value) / highest).toFixed(1)}`);
    const path = points.join(" ");
    const area = `${HISTORY - right - 1},40 ${path} ${HISTORY - 1},40`;
    byId("people-history").replaceChildren(draw("polygon", { points: area }), draw("polyline", { points: path }));
  }
}
