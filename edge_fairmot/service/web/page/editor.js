/** The shape editor: lines and zones are drawn, moved and deleted with mouse, finger, pen or keyboard. */

import { freeName } from "./drawing.js";
import { cornersOf, crossesItself, inside, moveShape } from "./geometry.js";
import { countedBy, ShapeView, WORDS } from "./shapes.js";

const MIN_DRAG = 0.03; // share of the image: a shorter drag is a tap
const CLOSING = 16; // pixels: a tap this near to the first or last corner closes a zone
const STEP = 0.01; // of an arrow key
const LONG_STEP = 0.05; // with Shift

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const HINTS = {
  line: "Press at one end and drag to the other. The arrow shows the direction that counts as in.",
  zone: "Tap the corners; tap the first one again to close.",
  ignore: "Tap the corners; tap the first one again to close. Nobody who stands in it is tracked.",
};
const KEYS = "Arrow keys move the cross, with Shift faster. Enter sets";
const KEY_HINTS = {
  line: `${KEYS} both ends. Escape ends.`,
  zone: `${KEYS} a corner; Enter a second time closes the zone. Backspace takes a corner back, Escape ends.`,
};
const CROSSING = "The sides of a zone may not cross";

/** Events: change, end (detail {tool, drawn} after a tool), news (text for screen readers), refused, removed (name). */
export class Editor extends EventTarget {
  selected = null;
  tool = "";
  totals = { lines: {}, zones: {} };
  #svg;
  #view;
  #drawing;
  #loupe;
  #draft = null; // corners of the new shape; the last one follows the pointer
  #drag = null; // {from, kind, index, corner, moved} of the shape that is moved
  #nudge = null; // {kind, index, corner, by} of the shape that is moved by keys
  #pressed = null; // where the drawing pointer went down
  #cursor = null; // where the keyboard draws

  constructor(svg, drawing, loupe) {
    super();
    this.#svg = svg;
    this.#view = new ShapeView(svg);
    this.#drawing = drawing;
    this.#loupe = loupe;
    svg.addEventListener("pointerdown", (event) => this.#press(event));
    svg.addEventListener("pointermove", (event) => this.#move(event));
    svg.addEventListener("pointerup", (event) => this.#release(event));
    svg.addEventListener("pointercancel", () => this.cancel());
    svg.addEventListener("keydown", (event) => this.#key(event));
    for (const end of ["keyup", "focusout"]) svg.addEventListener(end, () => this.#endNudge());
    drawing.addEventListener("change", () => this.#checkSelection());
    for (const news of ["change", "preview"]) drawing.addEventListener(news, () => this.render());
    new ResizeObserver(() => this.render()).observe(svg);
  }

  get hint() {
    return this.#cursor ? (KEY_HINTS[this.tool] ?? KEY_HINTS.zone) : (HINTS[this.tool] ?? "");
  }

  render() {
    const draft = this.#draft && { kind: this.tool, points: this.#draft };
    const { selected, totals } = this;
    this.#view.render({ drawing: this.#drawing, selected, draft, cursor: this.#cursor, totals });
    this.#svg.classList.toggle("drawing", this.tool !== "");
    this.#svg.classList.toggle("busy", this.tool !== "" || this.selected !== null);
  }

  /** Select a tool, or deselect it if it is the selected one. */
  take(tool, byKeyboard = false) {
    this.#draft = null;
    this.tool = this.tool === tool ? "" : tool;
    this.#cursor = this.tool && byKeyboard ? [0.5, 0.5] : null;
    this.#svg.tabIndex = this.#cursor ? 0 : -1;
    this.select(null);
    if (!this.#cursor) return;
    this.#svg.focus();
    this.#tell(this.hint);
  }

  select(selected) {
    this.selected = selected;
    this.render();
    this.dispatchEvent(new Event("change"));
  }

  cancel() {
    const { tool } = this;
    this.#drag = this.#nudge = this.#draft = this.#pressed = null;
    this.#drawing.held = false;
    this.#loupe.hide();
    this.#drawing.revert();
    this.take(tool);
    if (tool) this.#end(tool, null);
  }

  remove({ kind, index }) {
    const { name } = this.#drawing[kind][index];
    this.selected = null;
    this.#drawing.change((draft) => draft[kind].splice(index, 1));
    this.dispatchEvent(new Event("change"));
    this.#send("removed", name);
  }

  #press(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    const point = this.#point(event);
    const here = this.#shapeAt(event);
    if (this.tool) {
      this.#svg.setPointerCapture(event.pointerId);
      this.#pressed = point;
      this.#leaveKeyboard();
      if (this.tool === "line" && !this.#draft) this.#draft = [point, point];
      this.#extendDraft(point);
    } else if (here && (event.pointerType === "mouse" || this.#isSelected(here))) {
      this.#svg.setPointerCapture(event.pointerId);
      if (!this.#isSelected(here)) this.select(here);
      this.#drag = { from: point, moved: false, ...here };
      this.#drawing.held = true;
    } else return;
    this.#magnify(point, event);
  }

  #leaveKeyboard() {
    if (!this.#cursor) return;
    this.#cursor = this.#draft = null;
    this.dispatchEvent(new Event("change"));
  }

  #move(event) {
    if (!event.isPrimary) return;
    const point = this.#point(event);
    if (this.#draft) this.#extendDraft(point);
    else if (this.#drag) this.#dragTo(point);
    if (this.#pressed || this.#drag) this.#magnify(point, event);
  }

  #release(event) {
    if (!event.isPrimary) return;
    const point = this.#point(event);
    this.#loupe.hide();
    if (this.#drag) this.#drop(point);
    else if (this.tool === "line" && this.#pressed) this.#endLine(point);
    else if (this.tool && this.#pressed) this.#addCorner(point);
    else this.select(this.#shapeAt(event));
    this.#pressed = null;
  }

  /** A finger hides the place that it points to. */
  #magnify(point, { pointerType }) {
    if (pointerType === "mouse") return;
    const drag = this.#drag;
    const corners = drag ? cornersOf(drag.kind, this.#drawing[drag.kind][drag.index]) : this.#draft;
    this.#loupe.show(point, corners, (drag ?? { kind: this.tool }).kind, drag !== null && drag.kind !== "line");
  }

  #extendDraft(point) {
    if (!this.#draft) this.#draft = [point];
    this.#draft[this.#draft.length - 1] = point;
    this.render();
  }

  #endLine(point, byKeyboard = false) {
    const [start] = this.#draft;
    // Two taps work like a drag: the second one sets the other end.
    if (Math.hypot(point[0] - start[0], point[1] - start[1]) < MIN_DRAG) return;
    this.#add("line", { start, end: point }, byKeyboard);
  }

  #addCorner(point, byKeyboard = false) {
    const corners = (this.#draft ?? []).slice(0, -1);
    const again = corners.length > 0 && this.#isNear(corners.at(-1), point);
    const closes = corners.length >= 3 && (again || this.#isNear(corners[0], point));
    if (closes) this.#closeZone(byKeyboard);
    else if (crossesItself([...corners, point], false)) this.#refuse(`${CROSSING}: choose another place for this corner.`);
    else if (!again) {
      this.#draft = [...corners, point, point];
      if (byKeyboard) this.#tell(`Corner ${corners.length + 1}`);
    }
    this.render();
  }

  #closeZone(byKeyboard) {
    const corners = (this.#draft ?? []).slice(0, -1);
    if (corners.length < 3) return;
    if (crossesItself(corners, true)) this.#refuse(`${CROSSING}: add corners, or begin again.`);
    else this.#add(this.tool, { polygon: corners }, byKeyboard);
  }

  #add(kind, shape, byKeyboard) {
    const { tool } = this;
    const name = freeName(kind, this.#drawing[kind]);
    this.#draft = this.#cursor = null;
    this.tool = "";
    this.#svg.tabIndex = -1;
    this.#drawing.change((draft) => draft[kind].push({ name, id: Math.random().toString(36).slice(2), ...shape }));
    this.select({ kind, index: this.#drawing[kind].length - 1 });
    if (byKeyboard) this.#end(tool, this.selected);
  }

  #dragTo(point) {
    const drag = this.#drag;
    const by = [point[0] - drag.from[0], point[1] - drag.from[1]];
    drag.moved ||= Math.hypot(...by) > MIN_DRAG / 6;
    if (drag.moved) this.#drawing.preview((draft) => moveShape(draft, drag, by));
  }

  #drop(point) {
    const drag = this.#drag;
    this.#drag = null;
    if (drag.moved) this.#place(drag, [point[0] - drag.from[0], point[1] - drag.from[1]]);
    this.#drawing.held = false;
  }

  /** Move a shape or a corner for good. */
  #place(moved, by) {
    this.#drawing.revert();
    const draft = { [moved.kind]: structuredClone(this.#drawing[moved.kind]) };
    moveShape(draft, moved, by);
    const shape = draft[moved.kind][moved.index];
    if (moved.kind !== "line" && crossesItself(shape.polygon, true)) {
      return this.#refuse(`${CROSSING}: ${shape.name} stays as it was.`);
    }
    this.#drawing.change((shapes) => (shapes[moved.kind][moved.index] = shape));
    const place = spoken(cornersOf(moved.kind, shape)[moved.corner ?? 0]);
    return this.#tell(moved.corner === null ? `${shape.name} is moved; it starts ${place}` : place);
  }

  #key(event) {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.#drawing.undo();
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (!(this.tool ? this.#drawingKey(event) : this.#shapeKey(event))) return;
    event.preventDefault();
  }

  #drawingKey({ key, shiftKey }) {
    this.#cursor ??= [0.5, 0.5];
    const corners = (this.#draft?.length ?? 1) - 1;
    if (key === "Escape") this.cancel();
    else if (key in ARROWS) {
      const step = shiftKey ? LONG_STEP : STEP;
      this.#cursor = this.#cursor.map((value, axis) => inside(value + step * ARROWS[key][axis]));
      this.#extendDraft(this.#cursor);
      this.#tell(spoken(this.#cursor));
    } else if (key === "Backspace" && corners > 0) {
      this.#draft.splice(-2, 1);
      this.#tell(`${corners - 1} corners`);
      this.render();
    } else if (key !== "Enter" && key !== " ") return false;
    else if (this.tool !== "line") this.#addCorner(this.#cursor, true);
    else if (corners > 0) this.#endLine(this.#cursor, true);
    else {
      this.#draft = [this.#cursor, this.#cursor];
      this.#tell("One end. The arrow shows the direction that counts as in: to the right of the way.");
      this.render();
    }
    return true;
  }

  #shapeKey(event) {
    const here = this.#shapeAt(event) ?? (this.selected && { ...this.selected, corner: null });
    if (!here) return false;
    const { key } = event;
    if (key === "Escape") this.select(null);
    else if (key === "Enter" || key === " ") {
      if (here.corner === null) this.select(this.#isSelected(here) ? null : here);
    } else if (key === "Delete" || key === "Backspace") this.remove(here);
    else if (key in ARROWS) this.#nudgeBy(here, ARROWS[key].map((way) => way * (event.shiftKey ? LONG_STEP : STEP)));
    else return false;
    if ((key === "Enter" || key === " ") && this.selected) this.#tell(this.description);
    return true;
  }

  /** The selected shape with its counts, in words. */
  get description() {
    if (!this.selected) return "";
    const { kind, index } = this.selected;
    const { name } = this.#drawing[kind][index];
    return `${WORDS[kind]} ${name}: ${kind === "zone" ? "inside " : ""}${countedBy(kind, name, this.totals)}`;
  }

  #nudgeBy(here, by) {
    if (!this.#isSelected(here)) this.select(here);
    this.#nudge ??= { ...here, by: [0, 0] };
    this.#nudge.by = this.#nudge.by.map((value, axis) => value + by[axis]);
    this.#drawing.held = true;
    this.#drawing.preview((draft) => moveShape(draft, this.#nudge, this.#nudge.by));
  }

  #endNudge() {
    const nudge = this.#nudge;
    if (!nudge) return;
    this.#nudge = null;
    this.#place(nudge, nudge.by);
    this.#drawing.held = false;
  }

  #checkSelection() {
    const { selected } = this;
    if (selected && !this.#drawing[selected.kind][selected.index]) this.select(null);
  }

  #isSelected({ kind, index }) {
    return this.selected?.kind === kind && this.selected.index === index;
  }

  /** The shape of an event, and its corner or null. */
  #shapeAt({ target }) {
    const { kind, index, corner } = target.closest("[data-kind]")?.dataset ?? {};
    return kind ? { kind, index: Number(index), corner: corner === undefined ? null : Number(corner) } : null;
  }

  #isNear(one, other) {
    const { clientWidth: width, clientHeight: height } = this.#svg;
    return Math.hypot((one[0] - other[0]) * width, (one[1] - other[1]) * height) < CLOSING;
  }

  /** Position of a pointer, as shares of the image's width and height. */
  #point(event) {
    const place = this.#svg.getBoundingClientRect();
    return [inside((event.clientX - place.left) / place.width), inside((event.clientY - place.top) / place.height)];
  }

  #end(tool, drawn) {
    this.#send("end", { tool, drawn });
  }

  #refuse(text) {
    this.#send("refused", text);
  }

  #tell(text) {
    this.#send("news", text);
  }

  #send(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function spoken([x, y]) {
  return `${Math.round(100 * x)} % across, ${Math.round(100 * y)} % down`;
}
