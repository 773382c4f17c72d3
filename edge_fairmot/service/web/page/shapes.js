/** Lines and zones as SVG over the image, with handles on the selected one. */

const SVG = "http://www.w3.org/2000/svg";
const ARROW = 26;

/** The corners of a shape. */
export function cornersOf(kind, shape) {
  return kind === "line" ? [shape.start, shape.end] : shape.polygon;
}

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

/**
 * Draw all shapes.
 *
 * view has drawing, selected ({kind, index} or null), draft ({kind, points} or null) and the totals of the frame.
 */
export function renderShapes(svg, { drawing, selected, draft, totals }) {
  const { clientWidth: width, clientHeight: height } = svg;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const at = ([x, y]) => [x * width, y * height];
  const parts = [];
  const top = []; // the selected one: no other may take its handles
  for (const kind of ["ignore", "zone", "line"]) {
    drawing[kind].forEach((shape, index) => {
      const points = cornersOf(kind, shape).map(at);
      const chosen = selected?.kind === kind && selected.index === index;
      const label = `${shape.name}: ${countedBy(kind, shape.name, totals)}`;
      (chosen ? top : parts).push(group(kind, index, points, label, chosen, height));
    });
  }
  if (draft) top.push(...draftOf(draft.kind, draft.points.map(at)));
  svg.replaceChildren(...parts, ...top);
}

function group(kind, index, points, label, chosen, height) {
  const path = points.map((point) => point.join(",")).join(" ");
  const element = make("g", { class: chosen ? "selected" : "" });
  const tag = kind === "line" ? "polyline" : "polygon";
  if (kind === "line") {
    const arrow = arrowOf(points);
    for (const style of ["halo", "line"]) {
      element.append(make(tag, { points: path, class: style }), make("polyline", { points: arrow, class: style }));
    }
  } else {
    element.append(make(tag, { points: path, class: `zone ${kind}` }));
  }
  element.append(make(tag, { points: path, class: `reach ${kind === "line" ? "" : "zone"}`, "data-kind": kind, "data-index": index }));
  const [x, y] = points.reduce((best, point) => (point[1] < best[1] ? point : best));
  const text = make("text", { x: Math.max(4, x - 6), y: Math.min(height - 6, Math.max(16, y - 10)) });
  text.textContent = label;
  element.append(text);
  if (chosen) points.forEach((point, corner) => element.append(...handle(kind, index, corner, point)));
  return element;
}

function draftOf(kind, points) {
  const path = points.map((point) => point.join(",")).join(" ");
  const parts = ["halo", `${kind === "line" ? kind : `zone ${kind}`} draft`].map((style) => make("polyline", { points: path, class: style }));
  return [...parts, ...points.map(([x, y]) => make("circle", { cx: x, cy: y, r: 6, class: "grip" }))];
}

function handle(kind, index, corner, [x, y]) {
  return [
    make("circle", { cx: x, cy: y, r: 7, class: "grip" }),
    make("circle", { cx: x, cy: y, r: 22, class: "corner", "data-kind": kind, "data-index": index, "data-corner": corner }),
  ];
}

/** Arrow from the middle of a line to its right: the direction that counts as in. y points down. */
function arrowOf([[startX, startY], [endX, endY]]) {
  const length = Math.hypot(endX - startX, endY - startY) || 1;
  const [alongX, alongY] = [(endX - startX) / length, (endY - startY) / length];
  const [rightX, rightY] = [-alongY, alongX];
  const [x, y] = [(startX + endX) / 2, (startY + endY) / 2];
  const tip = [x + rightX * ARROW, y + rightY * ARROW];
  const wing = (side) => [tip[0] - 9 * rightX + side * 7 * alongX, tip[1] - 9 * rightY + side * 7 * alongY];
  return [[x, y], tip, wing(1), tip, wing(-1)].map((point) => point.join(",")).join(" ");
}

function make(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
