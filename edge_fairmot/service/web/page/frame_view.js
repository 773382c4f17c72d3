/** The image of a frame, drawn together with the boxes of the same frame. */

import { Trails, idColor, inkOn } from "./trails.js";

const MAX_PIXEL_RATIO = 2; // device pixels per page pixel; more costs time and is not visible

export class FrameView {
  #canvas;
  #context;
  #bitmap = null;
  #header = null;
  #trails = new Trails();
  #queue = Promise.resolve();
  shown = { boxes: true, ids: true, trails: true };

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Remove the trails: another run begins. */
  reset() {
    this.#trails.clear();
  }

  /** Draw a frame after the one before, when the screen is ready for it; resolves when it is drawn. */
  show(header, jpeg) {
    const drawn = this.#queue.then(() => this.#show(header, jpeg));
    this.#queue = drawn.catch(() => {});
    return drawn;
  }

  async #show(header, jpeg) {
    const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    await new Promise(requestAnimationFrame);
    this.#bitmap?.close();
    this.#bitmap = bitmap;
    this.#header = header;
    const [width, height] = header.size;
    this.#trails.extend(header.tracks, header.time_s ?? performance.now() / 1000, Math.max(2, Math.min(width, height) / 120));
    this.draw();
  }

  /** Draw the frame again at the size of the canvas. */
  draw() {
    const canvas = this.#canvas;
    const sharpness = Math.min(devicePixelRatio || 1, MAX_PIXEL_RATIO);
    const width = Math.round(canvas.clientWidth * sharpness);
    const height = Math.round(canvas.clientHeight * sharpness);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    if (!this.#header) return;
    const context = this.#context;
    context.lineJoin = "round";
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#bitmap, 0, 0, width, height);
    const scale = width / this.#header.size[0];
    const pen = Math.max(1.5, Math.min(width, height) / 330);
    if (this.shown.trails) this.#drawTrails(scale, pen);
    // Persons in the foreground, lower in the image, are drawn last.
    const tracks = [...this.#header.tracks].sort((a, b) => a.xyxy[3] - b.xyxy[3]);
    if (this.shown.boxes) for (const track of tracks) this.#drawBox(track, scale, pen);
    if (this.shown.ids) for (const track of tracks) this.#drawId(track, scale, pen);
    canvas.dataset.frame = this.#header.frame;
  }

  #drawTrails(scale, pen) {
    const context = this.#context;
    context.lineCap = "round";
    this.#trails.forEachSegment((id, from, to, strength) => {
      const [red, green, blue] = idColor(id);
      context.strokeStyle = `rgb(${red} ${green} ${blue} / ${0.9 * strength})`;
      context.lineWidth = Math.max(1, 1.6 * pen * strength);
      context.beginPath();
      context.moveTo(from.x * scale, from.y * scale);
      context.lineTo(to.x * scale, to.y * scale);
      context.stroke();
    });
  }

  #drawBox({ id, xyxy, predicted }, scale, pen) {
    const context = this.#context;
    const [left, top, right, bottom] = xyxy.map((value) => value * scale);
    context.strokeStyle = `rgb(${idColor(id).join(" ")})`;
    context.lineWidth = pen;
    context.setLineDash(predicted ? [4 * pen, 3 * pen] : []);
    context.strokeRect(left, top, right - left, bottom - top);
    context.setLineDash([]);
  }

  #drawId({ id, xyxy, class_id: classId }, scale, pen) {
    const context = this.#context;
    const color = idColor(id);
    const size = Math.max(9 * (pen / 1.5), Math.min(this.#canvas.width, this.#canvas.height) / 42);
    const pad = size / 4;
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    const name = this.#header.class_names?.[classId]; // sent where the model has several classes
    const text = name ? `${name} ${id}` : String(id);
    const width = context.measureText(text).width + 2 * pad;
    const height = size + pad;
    const left = Math.min(Math.max(xyxy[0] * scale - pen / 2, 0), this.#canvas.width - width);
    const above = xyxy[1] * scale - height;
    const top = Math.min(Math.max(above >= 0 ? above : xyxy[1] * scale, 0), this.#canvas.height - height);
    context.fillStyle = `rgb(${color.join(" ")})`;
    context.fillRect(left, top, width, height);
    context.fillStyle = inkOn(color);
    context.fillText(text, left + pad, top + height / 2 + size * 0.05);
  }
}
