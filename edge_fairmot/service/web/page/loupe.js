/** A magnified part of the image in a corner of it: a finger hides the place that it points to. */

const ZOOM = 2.5;

export class Loupe {
  #canvas;
  #frame;
  #svg;
  #shown = null; // {point, corners, kind, closed}

  constructor(canvas, frame, svg) {
    this.#canvas = canvas;
    this.#frame = frame;
    this.#svg = svg;
  }

  /** Show the surroundings of a point, with a shape; all in shares of the image. */
  show(point, corners, kind, closed) {
    this.#shown = { point, corners, kind, closed };
    this.#canvas.hidden = false;
    this.#canvas.classList.toggle("right", point[0] < 0.5); // away from the finger
    this.draw();
  }

  hide() {
    this.#shown = null;
    this.#canvas.hidden = true;
  }

  /** Draw again: a new frame has come. */
  draw() {
    if (!this.#shown) return;
    const { point, corners, kind, closed } = this.#shown;
    const context = this.#canvas.getContext("2d");
    const { width: side } = this.#canvas;
    const sharpness = side / this.#canvas.clientWidth;
    const [width, height] = [ZOOM * sharpness * this.#frame.clientWidth, ZOOM * sharpness * this.#frame.clientHeight];
    const at = ([x, y]) => [side / 2 + (x - point[0]) * width, side / 2 + (y - point[1]) * height];
    context.fillStyle = "#05080a";
    context.fillRect(0, 0, side, side);
    context.drawImage(this.#frame, ...at([0, 0]), width, height);
    const draw = (points, color, pen) => {
      context.beginPath();
      points.forEach((place) => context.lineTo(...place));
      context.strokeStyle = color;
      context.lineWidth = pen * sharpness;
      context.stroke();
    };
    const path = (corners ?? []).map(at);
    if (closed) path.push(path[0]);
    draw(path, getComputedStyle(this.#svg).getPropertyValue(`--${kind}`), 3);
    const [middle, arm] = [side / 2, side / 10];
    for (const [color, pen] of [["rgb(0 0 0 / .6)", 4], ["#fff", 1.5]]) {
      draw([[middle - arm, middle], [middle + arm, middle]], color, pen);
      draw([[middle, middle - arm], [middle, middle + arm]], color, pen);
    }
  }
}
