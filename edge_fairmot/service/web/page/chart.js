/** A chart of bars in plain SVG, with axes and a tooltip; drawn anew where its width changes. */

import { draw, make } from "./elements.js";

const HEIGHT = 210;
const [LEFT, RIGHT, TOP, BOTTOM] = [38, 4, 10, 22];
const LABEL_PX = 46;

export class BarChart {
  #svg = draw("svg", { class: "bars", role: "img", height: HEIGHT });
  #tip = make("p", { class: "tip", "aria-hidden": "true", hidden: "" });
  #data = { label: "", buckets: [], series: [] };

  constructor(figure) {
    figure.append(this.#svg, this.#tip);
    new ResizeObserver(() => this.#draw()).observe(figure);
    this.#svg.addEventListener("pointermove", (event) => this.#point(event));
    this.#svg.addEventListener("pointerdown", (event) => this.#point(event));
    this.#svg.addEventListener("pointerleave", () => (this.#tip.hidden = true));
  }

  /** `buckets` have a `short` and a `long` name, `series` a name and one value for each bucket. */
  show(data) {
    this.#data = data;
    this.#draw();
  }

  #draw() {
    const { label, buckets, series } = this.#data;
    const width = this.#svg.parentElement.clientWidth;
    if (!width || !buckets.length) return;
    this.#tip.hidden = true;
    this.#svg.setAttribute("width", width);
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.#svg.setAttribute("aria-label", label);
    const ticks = ticksUpTo(Math.max(1, ...series.flatMap(({ values }) => values)));
    const y = (value) => HEIGHT - BOTTOM - (value / ticks.at(-1)) * (HEIGHT - TOP - BOTTOM);
    const step = (width - LEFT - RIGHT) / buckets.length;
    const every = Math.ceil(LABEL_PX / step);
    const bar = Math.min(26, (step * 0.78) / series.length);
    const axes = ticks.flatMap((tick) => [
      draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }),
      draw("text", { class: "tick", x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
    ]);
    const names = buckets.flatMap(({ short }, index) =>
      index % every ? [] : [draw("text", { class: "tick", x: LEFT + (index + 0.5) * step, y: HEIGHT - 5, "text-anchor": "middle" }, short)],
    );
    const bars = series.flatMap(({ values }, number) =>
      values.map((value, index) => {
        const x = LEFT + (index + 0.5) * step + (number - series.length / 2) * bar;
        const height = y(0) - y(value);
        return draw("rect", { class: `bar bar-${number}`, x, y: y(value), width: Math.max(1, bar - 1), height, rx: Math.min(2, height) });
      }),
    );
    this.#svg.replaceChildren(...axes, ...names, ...bars);
  }

  #point({ clientX }) {
    const { buckets, series } = this.#data;
    const place = this.#svg.getBoundingClientRect();
    const step = (place.width - LEFT - RIGHT) / buckets.length;
    const index = Math.floor((clientX - place.left - LEFT) / step);
    this.#tip.hidden = buckets[index] === undefined;
    if (this.#tip.hidden) return;
    const figures = series.map(({ name, values }) => `${name} ${values[index]}`);
    this.#tip.textContent = `${buckets[index].long}: ${figures.join(", ")}`;
    const middle = LEFT + (index + 0.5) * step;
    const half = this.#tip.offsetWidth / 2;
    this.#tip.style.left = `${Math.min(Math.max(middle, half), place.width - half)}px`;
  }
}

/** Round steps from 0 to at least the highest value, at most five. */
export function ticksUpTo(highest) {
  const power = 10 ** Math.floor(Math.log10(highest / 4 || 1));
  const step = Math.max(1, [1, 2, 5, 10].map((one) => one * power).find((one) => one * 4 >= highest));
  return Array.from({ length: Math.ceil(highest / step) + 1 }, (_, index) => index * step);
}
