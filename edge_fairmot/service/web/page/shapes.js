/** Lines and zones as SVG over the image, with handles on the selected one. Each can have the keyboard's focus. */

import { KINDS, keyOf } from "./drawing.js";
import { cornersOf } from "./geometry.js";

const SVG = "http://www.w3.org/2000/svg";
const ARROW = 26;
const CROSS = 14;
const LETTER = 7.5; // mean width, pixels

export const WORDS = { line: "line", zone: "zone", ignore: "ignored zone" };

/** Counts of a shape, in words. */
export function countedBy(kind, name, totals) {
  if (kind === "line") {
    const { in: inwards, out: outwards } = totals.lines[name] ?? { in: 0, out: 0 };
    return `in ${inwards}, out ${outwards}`;
  }
  if (kind === "ignore") return "ignored";
  return insideOf(totals.zones[name]);
}

/** Who is inside a zone: 3, or 3 (+2 unseen). */
export function insideOf({ occupancy, unseen } = { occupancy: 0 }) {
  return unseen ? `${occupancy} (+${unseen} unseen)` : String(occupancy);
}

/** Draws all shapes. Elements that can have the focus are kept: replacing one would take it away. */
export class ShapeView {
  #svg;
  #shapes = make("g");
  #chosen = make("g", { class: "selected", "aria-hidden": "true" }); // above the others: none of them may take its handles
  #handles = make("g");
  #draft = make("g", { "aria-hidden": "true" });
  #elements = new Map(); // of the shapes, by kind and key

  constructor(svg) {
    this.#svg = svg;
    svg.append(this.#shapes, this.#chosen, this.#handles, this.#draft);
  }

  /**
   * Draw.
   *
   * view has drawing, selected ({kind, index} or null), draft ({kind, points} or null), cursor (a point or null)
   * and the totals of the frame.
   */
  render({ drawing, selected, draft, cursor, totals }) {
    const { clientWidth: width, clientHeight: height } = this.#svg;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const at = ([x, y]) => [x * width, y * height];
    const focused = this.#svg.contains(document.activeElement) ? document.activeElement : null;
    const place = [...this.#shapes.children].indexOf(focused);
    this.#forgetDeleted(drawing);
    let chosen = null;
    let number = 0;
    for (const kind of ["ignore", "zone", "line"]) {
      drawing[kind].forEach((shape, index) => {
        const points = cornersOf(kind, shape).map(at);
        const isChosen = selected?.kind === kind && selected.index === index;
        const element = this.#elementOf(kind, shape, number++);
        set(element, { "data-kind": kind, "data-index": index, "aria-pressed": isChosen });
        set(element, { "aria-label": `${WORDS[kind]} ${shape.name}` });
        const text = label(points, `${shape.name}: ${countedBy(kind, shape.name, totals)}`, width, height);
        element.replaceChildren(...(isChosen ? [] : [...outline(kind, points), text]), reach(kind, points));
        if (isChosen) chosen = { kind, index, points, shape, element, text };
      });
    }
    this.#showChosen(chosen);
    this.#draft.replaceChildren(...(draft ? draftOf(draft.kind, draft.points.map(at)) : []), ...(cursor ? crossAt(at(cursor)) : []));
    if (focused && !this.#svg.contains(document.activeElement)) {
      const kept = focused.isConnected ? focused : chosen?.element;
      (kept ?? this.#shapes.children[Math.min(Math.max(place, 0), number - 1)] ?? this.#svg).focus();
    }
  }

  /** Put the focus on a shape. */
  focus(kind, shape) {
    this.#elements.get(`${kind} ${keyOf(shape)}`)?.focus();
  }

  #forgetDeleted(drawing) {
    const there = new Set(KINDS.flatMap((kind) => drawing[kind].map((shape) => `${kind} ${keyOf(shape)}`)));
    for (const [key, element] of this.#elements) {
      if (there.has(key)) continue;
      element.remove();
      this.#elements.delete(key);
    }
  }

  #elementOf(kind, shape, number) {
    const key = `${kind} ${keyOf(shape)}`;
    if (!this.#elements.has(key)) this.#elements.set(key, make("g", { class: "shape", role: "button", tabindex: 0 }));
    const element = this.#elements.get(key);
    const there = this.#shapes.children[number] ?? null;
    if (there !== element) this.#shapes.insertBefore(element, there);
    return element;
  }

  #showChosen(chosen) {
    const { kind, index, points = [], shape, text } = chosen ?? {};
    set(this.#chosen, { "data-kind": kind ?? "", "data-index": index ?? "" });
    this.#chosen.replaceChildren(...(chosen ? [...outline(kind, points), reach(kind, points), text] : []));
    while (this.#handles.childElementCount > points.length) this.#handles.lastChild.remove();
    while (this.#handles.childElementCount < points.length) this.#handles.append(handle());
    points.forEach(([x, y], corner) => {
      const grip = this.#handles.children[corner];
      set(grip, { "data-kind": kind, "data-index": index, "data-corner": corner, transform: `translate(${x} ${y})` });
      const end = ["Start", "End"][corner];
      set(grip, { "aria-label": kind === "line" ? `${end} of ${shape.name}` : `Corner ${corner + 1} of ${points.length} of ${shape.name}` });
    });
  }
}

function outline(kind, points) {
  const path = joined(points);
  if (kind !== "line") return [make("polygon", { points: path, class: `zone ${kind}` })];
  const arrow = arrowOf(points);
  return ["halo", "line"].flatMap((style) => [make("polyline", { points: path, class: style }), make("polyline", { points: arrow, class: style })]);
}

function reach(kind, points) {
  const zone = kind !== "line";
  return make(zone ? "polygon" : "polyline", { points: joined(points), class: `reach ${zone ? "zone" : ""}` });
}

function label(points, words, width, height) {
  const [x, y] = points.reduce((best, point) => (point[1] < best[1] ? point : best));
  const right = width - LETTER * words.length; // it ends inside the image
  const text = make("text", { x: Math.max(4, Math.min(x - 6, right)), y: Math.min(height - 6, Math.max(16, y - 10)) });
  text.textContent = words;
  return text;
}

function draftOf(kind, points) {
  const path = joined(points);
  const parts = ["halo", `${kind === "line" ? kind : `zone ${kind}`} draft`].map((style) => make("polyline", { points: path, class: style }));
  return [...parts, ...points.map(([x, y]) => make("circle", { cx: x, cy: y, r: 6, class: "grip" }))];
}

function crossAt([x, y]) {
  const path = `M${x - CROSS} ${y}H${x + CROSS}M${x} ${y - CROSS}V${y + CROSS}`;
  return ["halo", "cross"].map((style) => make("path", { d: path, class: style }));
}

function handle() {
  const element = make("g", { class: "handle", role: "button", tabindex: 0 });
  element.append(make("circle", { r: 7, class: "grip" }), make("circle", { r: 22, class: "corner" }));
  return element;
}

/** Arrow from the middle of a line to its right: the direction that counts as in. y points down. */
function arrowOf([[startX, startY], [endX, endY]]) {
  const length = Math.hypot(endX - startX, endY - startY) || 1;
  const [alongX, alongY] = [(endX - startX) / length, (endY - startY) / length];
  const [rightX, rightY] = [-alongY, alongX];
  const [x, y] = [(startX + endX) / 2, (startY + endY) / 2];
  const tip = [x + rightX * ARROW, y + rightY * ARROW];
  const wing = (side) => [tip[0] - 9 * rightX + side * 7 * alongX, tip[1] - 9 * rightY + side * 7 * alongY];
  return joined([[x, y], tip, wing(1), tip, wing(-1)]);
}

function joined(points) {
  return points.map((point) => point.join(",")).join(" ");
}

function make(tag, attributes = {}) {
  return set(document.createElementNS(SVG, tag), attributes);
}

/** Set what differs only: a screen reader may read a changed attribute. */
function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
  return element;
}
