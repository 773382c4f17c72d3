/** All cameras of a run: a tile for each, which opens its page, and the totals. */

import { FrameView } from "./frame_view.js";
import { OverTime } from "./over_time.js";
import { connect } from "./stream.js";

const REFRESH_MS = 1000;

const byId = (id) => document.getElementById(id);

const tiles = new Map(); // by the camera's path
let overTime = null;

class Tile {
  #pill = make("span", "pill");
  #people = make("b", "");
  #canvas = document.createElement("canvas");

  constructor(path, name) {
    this.element = make("a", "tile");
    this.element.href = path;
    const title = make("span", "title");
    title.append(make("span", "name", name), this.#people, this.#pill);
    this.element.append(this.#canvas, title);
    byId("mosaic").append(this.element);
    const view = new FrameView(this.#canvas);
    const onFrame = (header, jpeg) => {
      this.#canvas.style.setProperty("--ratio", header.size[0] / header.size[1]);
      return view.show(header, jpeg);
    };
    connect({ onFrame, onStatus() {}, onOpen: () => view.reset(), onAway() {} }, `${path}ws`);
  }

  show({ people, source }) {
    this.#people.textContent = people ?? "–";
    this.#pill.textContent = source.status;
    this.#pill.dataset.status = source.status;
    this.element.title = source.message;
    this.#canvas.classList.toggle("stale", source.status !== "running");
  }

  away() {
    this.#pill.textContent = "no connection";
    this.#pill.dataset.status = "away";
  }
}

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function show({ totals, cameras }) {
  for (const [name, value] of Object.entries(totals)) {
    const field = byId(name);
    if (field) field.textContent = name === "frame_rate" ? value.toFixed(1) : String(value);
  }
  byId("source").textContent = `${totals.running} of ${totals.cameras} cameras running`;
  const kept = cameras.filter(({ history }) => history).map(({ camera, path }) => [camera, path]);
  if (kept.length && overTime === null) {
    overTime = new OverTime(byId("over-time"), byId("events"));
    overTime.offer(kept);
  }
  for (const camera of cameras) {
    if (!tiles.has(camera.path)) tiles.set(camera.path, new Tile(camera.path, camera.camera));
    tiles.get(camera.path).show(camera);
  }
}

async function refresh() {
  try {
    const answer = await fetch("api/status");
    if (answer.status === 401) location.reload();
    else show(await answer.json());
  } catch {
    for (const tile of tiles.values()) tile.away();
  }
  setTimeout(refresh, REFRESH_MS);
}

const theme = localStorage.getItem("theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
refresh();
