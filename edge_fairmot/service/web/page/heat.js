/** Where people stand, over the image; asked for only while it is shown. */

const REFRESH_MS = 3000;
const STRONGEST = 210; // of 255: the image stays visible

export class Heat {
  #canvas;
  #box;
  #timer = 0;

  constructor(canvas, box) {
    this.#canvas = canvas;
    this.#box = box;
    box.addEventListener("change", () => this.#refresh());
  }

  async #refresh() {
    clearTimeout(this.#timer);
    this.#canvas.hidden = !this.#box.checked;
    if (!this.#box.checked) return;
    if (document.visibilityState === "visible") await this.#draw();
    this.#timer = setTimeout(() => this.#refresh(), REFRESH_MS);
  }

  async #draw() {
    try {
      const answer = await fetch("api/heat");
      if (!answer.ok) return;
      const { columns, rows, cells, warmest_person_s: seconds } = await answer.json();
      const image = new ImageData(columns, rows);
      cells.forEach((cell, index) => {
        const warmth = Math.sqrt(cell / 255); // else only the warmest cells are seen
        image.data.set([255, 210 * (1 - warmth), 40 * (1 - warmth), STRONGEST * warmth], 4 * index);
      });
      [this.#canvas.width, this.#canvas.height] = [columns, rows]; // the browser scales it, smoothly
      this.#canvas.getContext("2d").putImageData(image, 0, 0);
      this.#canvas.dataset.warmest = seconds;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the device is away; the page says so
    }
  }
}
