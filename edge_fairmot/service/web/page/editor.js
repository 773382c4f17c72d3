/** The shape editor: lines and zones are drawn and moved with mouse, finger or pen. */

import { cornersOf, renderShapes } from "./shapes.js";

const MIN_DRAG = 0.03; // share of the image: a shorter drag is a tap
const CLOSING = 16; // pixels: a tap this near to the first or last corner closes a zone
const NUDGE = 0.005;

const HINTS = {
  line: "Press at one end and drag to the other. The arrow shows the direction that counts as in.",
  zone: "Tap the corners; tap the first one again to close.",
  ignore: "Tap the corners; tap the first one again to close. Nobody who stands in it is tracked.",
};

export class Editor extends EventTarget {
  selected = null;
  tool = "";
  totals = { lines: {}, zones: {} };
  #svg;
  #drawing;
  #draft = null; // corners of the new shape
  #drag = null; // {from, kind, index, corner, moved} of the shape that is moved
  #pressed = null; // where the drawing pointer went down

  constructor(svg, drawing) {
    super();
    this.#svg = svg;
    this.#drawing = drawing;
    svg.tabIndex = 0;
    svg.addEventListener("pointerdown", (event) => this.#press(event));
    svg.addEventListener("pointermove", (event) => this.#move(event));
    svg.addEventListener("pointerup", (event) => this.#release(event));
    svg.addEventListener("pointercancel", () => this.cancel());
    svg.addEventListener("keydown", (event) => this.#key(event));
    drawing.addEventListener("change", () => this.#checkSelection());
    for (const news of ["change", "preview"]) drawing.addEventListener(news, () => this.render());
    new ResizeObserver(() => this.render()).observe(svg);
  }

  get hint() {
    return HINTS[this.tool] ?? "";
  }

  render() {
    const draft = this.#draft && { kind: this.tool, points: this.#draft };
    renderShapes(this.#svg, { drawing: this.#drawing, selected: this.selected, draft, totals: this.totals });
    this.#svg.classList.toggle("drawing", this.tool !== "");
    this.#svg.classList.toggle("busy", this.tool !== "" || this.selected !== null);
  }

  /** Select a tool, or deselect it if it is the selected one. */
  take(tool) {
    this.#draft = null;
    this.tool = this.tool === tool ? "" : tool;
    this.select(null);
  }

  select(selected) {
    this.selected = selected;
    this.render();
    this.dispatchEvent(new Event("change"));
  }

  cancel() {
    this.#drag = this.#draft = this.#pressed = null;
    this.#drawing.held = false;
    this.#drawing.revert();
    this.take(this.tool);
  }

  remove({ kind, index }) {
    this.selected = null;
    this.#drawing.change((draft) => draft[kind].splice(index, 1));
    this.dispatchEvent(new Event("change"));
  }

  #press(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    const point = this.#point(event);
    const { kind, index, corner } = event.target.dataset;
    const here = kind && { kind, index: Number(index) };
    if (this.tool) {
      this.#svg.setPointerCapture(event.pointerId);
      this.#pressed = point;
      if (this.tool === "line" && !this.#draft) this.#draft = [point, point];
      this.#extendDraft(point);
    } else if (here && (event.pointerType === "mouse" || this.#isSelected(here))) {
      this.#svg.setPointerCapture(event.pointerId);
      if (!this.#isSelected(here)) this.select(here);
      this.#drag = { from: point, ...here, corner: corner === undefined ? null : Number(corner), moved: false };
      this.#drawing.held = true;
    }
  }

  #move(event) {
    if (!event.isPrimary) return;
    const point = this.#point(event);
    if (this.#draft) this.#extendDraft(point);
    else if (this.#drag) this.#dragTo(point);
  }

  #release(event) {
    if (!event.isPrimary) return;
    const point = this.#point(event);
    if (this.#drag) this.#drop(point);
    else if (this.tool === "line" && this.#pressed) this.#endLine(point);
    else if (this.tool && this.#pressed) this.#addCorner(point, event);
    else this.#tap(event.target.dataset);
    this.#pressed = null;
  }

  #tap({ kind, index }) {
    this.select(kind ? { kind, index: Number(index) } : null);
  }

  #extendDraft(point) {
    if (!this.#draft) this.#draft = [point];
    this.#draft[this.#draft.length - 1] = point;
    this.render();
  }

  #endLine(point) {
    const [start] = this.#draft;
    // Two taps work like a drag: the second one sets the other end.
    if (Math.hypot(point[0] - start[0], point[1] - start[1]) < MIN_DRAG) return;
    this.#add("line", { start, end: point });
  }

  #addCorner(point, event) {
    const corners = this.#draft.slice(0, -1);
    const again = corners.length > 0 && this.#isNear(corners.at(-1), event);
    if (corners.length >= 3 && (again || this.#isNear(corners[0], event))) this.#add(this.tool, { polygon: corners });
    else if (!again) this.#draft = [...corners, point, point];
    this.render();
  }

  #closeZone() {
    const corners = (this.#draft ?? []).slice(0, -1);
    if (corners.length >= 3) this.#add(this.tool, { polygon: corners });
  }

  #add(kind, shape) {
    this.#draft = null;
    this.tool = "";
    const taken = new Set(this.#drawing[kind].map(({ name }) => name));
    let number = 1;
    while (taken.has(`${kind} ${number}`)) number += 1;
    this.#drawing.change((draft) => draft[kind].push({ name: `${kind} ${number}`, id: Math.random().toString(36).slice(2), ...shape }));
    this.select({ kind, index: this.#drawing[kind].length - 1 });
  }

  #dragTo(point) {
    const drag = this.#drag;
    drag.moved ||= Math.hypot(point[0] - drag.from[0], point[1] - drag.from[1]) > MIN_DRAG / 6;
    if (drag.moved) this.#drawing.preview((draft) => moveShape(draft, drag, point));
  }

  #drop(point) {
    const drag = this.#drag;
    this.#drag = null;
    this.#drawing.held = false;
    if (!drag.moved) return;
    this.#drawing.revert();
    this.#drawing.change((draft) => moveShape(draft, drag, point));
  }

  #key(event) {
    const steps = { ArrowLeft: [-NUDGE, 0], ArrowRight: [NUDGE, 0], ArrowUp: [0, -NUDGE], ArrowDown: [0, NUDGE] };
    if (event.key === "Escape") this.cancel();
    else if (event.key === "Enter" && this.tool && this.tool !== "line") this.#closeZone();
    else if (["Delete", "Backspace"].includes(event.key) && this.selected) this.remove(this.selected);
    else if (event.key in steps && this.selected) {
      const drag = { from: [0, 0], corner: null, ...this.selected };
      this.#drawing.change((draft) => moveShape(draft, drag, steps[event.key]));
    } else return;
    event.preventDefault();
  }

  #checkSelection() {
    const { selected } = this;
    if (selected && !this.#drawing[selected.kind][selected.index]) this.select(null);
  }

  #isSelected({ kind, index }) {
    return this.selected?.kind === kind && this.selected.index === index;
  }

  #isNear([x, y], event) {
    const place = this.#svg.getBoundingClientRect();
    return Math.hypot(place.left + x * place.width - event.clientX, place.top + y * place.height - event.clientY) < CLOSING;
  }

  /** Position of a pointer, as shares of the image's width and height. */
  #point(event) {
    const place = this.#svg.getBoundingClientRect();
    return [inside((event.clientX - place.left) / place.width), inside((event.clientY - place.top) / place.height)];
  }
}

/** Move a corner to a point, or the whole shape with the pointer, inside the image. */
function moveShape(draft, { kind, index, corner, from }, to) {
  const shape = draft[kind][index];
  const corners = cornersOf(kind, shape);
  let moved;
  if (corner === null) {
    const by = [0, 1].map((axis) => {
      const values = corners.map((point) => point[axis]);
      return Math.min(Math.max(to[axis] - from[axis], -Math.min(...values)), 1 - Math.max(...values));
    });
    moved = corners.map(([x, y]) => [inside(x + by[0]), inside(y + by[1])]);
  } else {
    moved = corners.map((point, index) => (index === corner ? to : point));
  }
  if (kind === "line") [shape.start, shape.end] = moved;
  else shape.polygon = moved;
}

/** Clip to the image and round to four decimals: less than a pixel, and readable in a file. */
function inside(value) {
  return Math.round(1e4 * Math.min(Math.max(value, 0), 1)) / 1e4;
}
