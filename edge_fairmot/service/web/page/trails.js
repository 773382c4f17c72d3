/** Colours of ids, the same as in a video of the run, and the trail of each id. */

const HUE_STEP = 0.6180339887498949; // golden ratio: neighbouring ids get distant hues
const VALUE_STEP = 0.7548776662466927; // inverse plastic number: hues that come close differ in brightness
const SATURATION = 0.75;

const LENGTH_S = 1.6;
const MAX_GAP_S = 0.4;
const SMOOTHING_S = 0.09; // without it the foot point shows the jitter of the box's lower edge

/** Red, green and blue of an id, 0 to 255. */
export function idColor(id) {
  const hue = ((id * HUE_STEP) % 1) * 6;
  const value = 0.75 + 0.25 * ((id * VALUE_STEP) % 1);
  const part = (n) => {
    const k = (n + hue) % 6;
    return Math.round(255 * value * (1 - SATURATION * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [part(5), part(3), part(1)];
}

/** Text colour that is readable on a colour. */
export function inkOn([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff";
}

/** Foot points of each id in the frames that were shown, source pixels. */
export class Trails {
  #trails = new Map();
  #time = -Infinity;

  clear() {
    this.#trails.clear();
    this.#time = -Infinity;
  }

  /** Take the tracks of the next frame; step is the distance between two points of a trail. */
  extend(tracks, time, step) {
    if (time < this.#time) this.clear();
    this.#time = time;
    for (const { id, xyxy } of tracks) {
      const x = (xyxy[0] + xyxy[2]) / 2;
      const y = xyxy[3];
      let trail = this.#trails.get(id);
      if (!trail || time - trail.seen > MAX_GAP_S) {
        trail = { x, y, seen: time, points: [] };
        this.#trails.set(id, trail);
      }
      const share = 1 - Math.exp(-(time - trail.seen) / SMOOTHING_S);
      trail.x += (x - trail.x) * share;
      trail.y += (y - trail.y) * share;
      trail.seen = time;
      const last = trail.points.at(-1);
      if (!last || Math.hypot(trail.x - last.x, trail.y - last.y) >= step) {
        trail.points.push({ x: trail.x, y: trail.y, time });
      }
    }
    for (const [id, trail] of this.#trails) {
      while (trail.points.length && time - trail.points[0].time > LENGTH_S) trail.points.shift();
      if (time - trail.seen > LENGTH_S) this.#trails.delete(id);
    }
  }

  /** Calls draw(id, from, to, strength) for every segment; strength falls from 1, now, to 0. */
  forEachSegment(draw) {
    for (const [id, trail] of this.#trails) {
      let from = null;
      for (const to of [...trail.points, { x: trail.x, y: trail.y, time: trail.seen }]) {
        if (from) draw(id, from, to, 1 - (this.#time - from.time) / LENGTH_S);
        from = to;
      }
    }
  }
}
