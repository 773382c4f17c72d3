/** The page: connects the stream, the frame view, the counts and the shape editor. */

import { Announcer } from "./announcer.js";
import { Drawing, KINDS } from "./drawing.js";
import { Editor } from "./editor.js";
import { duration } from "./elements.js";
import { FrameView } from "./frame_view.js";
import { Loupe } from "./loupe.js";
import { Heat } from "./heat.js";
import { OverTime } from "./over_time.js";
import { CountList, DevicePanel } from "./panel.js";
import { connect } from "./stream.js";

const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };
const WORDS = { starting: "starting", running: "live", slow: "too slow", lost: "camera lost", stalled: "stalled", ended: "ended", away: "no connection" };

const byId = (id) => document.getElementById(id);

const view = new FrameView(byId("frame"));
const drawing = new Drawing();
const loupe = new Loupe(byId("loupe"), byId("frame"), byId("shapes"));
const editor = new Editor(byId("shapes"), drawing, loupe);
const announcer = new Announcer(byId("announcer"));
const counts = new CountList(drawing, editor);
const device = new DevicePanel();
new Heat(byId("heat"), byId("show-heat"));
const overTime = new OverTime(byId("over-time"), byId("events"));
let people = null;
let toastTimer = 0;

connect({
  onFrame: async (header, jpeg) => {
    fit(header.size);
    await view.show(header, jpeg);
    loupe.draw();
    people = header.tracks.length;
    device.showPeople(header.tracks, header.class_names);
    showTotals({ lines: header.lines, zones: header.zones }, header.class_names);
  },
  onStatus: (status) => {
    const name = status.camera ?? status.source.name;
    if (status.camera !== undefined && byId("all").hidden) offerCameras(status.camera);
    byId("all").hidden = status.camera === undefined;
    byId("heat-choice").hidden = !status.heat_map;
    if (status.history && byId("over-time").hidden) overTime.open("");
    byId("source").textContent = name;
    document.title = name ? `${name} · edge-fairmot` : "edge-fairmot";
    device.show(status, people);
    showSlow(status.too_slow);
    showState(status.too_slow ? "slow" : status.source.status, noticeOf(status.source), troubleOf(status.outputs));
    showDrawing(status.counting);
  },
  onOpen: () => {
    view.reset();
    drawing.forget();
  },
  onAway: () => showState("away", "The device cannot be reached. Reconnecting …"),
});

function fit([width, height]) {
  byId("stage").style.setProperty("--ratio", width / height);
}

function showTotals(totals, classNames) {
  counts.show(totals, classNames);
  if (JSON.stringify(totals) === JSON.stringify(editor.totals)) return;
  editor.totals = totals;
  editor.render();
  announcer.tell("counts", editor.description);
}

function troubleOf(outputs) {
  const failing = Object.entries(outputs).filter(([, output]) => output.trouble);
  return failing.map(([name, output]) => `${name}: ${output.trouble}`).join(" · ");
}

function noticeOf({ status, for_s: seconds, message }) {
  const since = duration(Math.max(seconds, 0));
  if (status === "starting") return `Waiting for the camera, ${since}. ${message}`;
  if (status === "lost") return `The camera has been away for ${since}. ${message}`;
  if (status === "stalled") return `The run is stalled. ${message}`;
  return status === "ended" ? `The source has ended. ${message}` : "";
}

function showState(state, notice, trouble = "") {
  const pill = byId("status");
  pill.textContent = WORDS[state] ?? state;
  pill.dataset.status = state;
  announcer.tell("state", `Camera: ${pill.textContent}`);
  byId("notice").textContent = notice || trouble;
  byId("notice").hidden = byId("notice").textContent === "";
  byId("frame").classList.toggle("stale", notice !== "");
}

/** Let another camera of the run be chosen. */
async function offerCameras(own) {
  const { cameras } = await (await fetch("/api/status")).json();
  const choice = byId("cameras");
  choice.replaceChildren(...cameras.map(({ camera, path }) => new Option(camera, `/${path}`, false, camera === own)));
  choice.hidden = cameras.length < 2;
  byId("source").style.visibility = choice.hidden ? "" : "hidden"; // the choice says the same
}

function showSlow(advice) {
  byId("slow").textContent = advice;
  byId("slow").hidden = advice === "";
}

function showDrawing(document_) {
  const can = document_ !== null;
  document.querySelector(".drawing").hidden = !can;
  document.querySelector(".counting").hidden = !can;
  if (can) drawing.take(document_);
}

function showSaved() {
  const saved = drawing.savedTo ? `Lines and zones are kept on the device, in ${drawing.savedTo}.` : "";
  const told = drawing.notSaved ? `Not saved: ${drawing.notSaved}. It counts until the run ends.` : saved;
  byId("saved").textContent = drawing.away ? "Not saved yet: the device cannot be reached." : told;
}

function toast(text, undoes = false) {
  byId("toast-text").textContent = text;
  byId("toast-undo").hidden = !undoes;
  byId("toast").hidden = false;
  announcer.say(text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (byId("toast").hidden = true), undoes ? 12_000 : 6000);
}

for (const news of ["change", "saved"]) {
  drawing.addEventListener(news, () => {
    byId("undo").setAttribute("aria-disabled", String(!drawing.undoable)); // it keeps the focus
    showSaved();
  });
}
drawing.addEventListener("complaint", ({ detail }) => toast(detail));

editor.addEventListener("change", () => {
  for (const tool of KINDS) byId(`draw-${tool}`).setAttribute("aria-pressed", String(editor.tool === tool));
  byId("hint").textContent = editor.hint;
  byId("hint").hidden = editor.hint === "";
});

editor.addEventListener("news", ({ detail }) => announcer.say(detail));
editor.addEventListener("refused", ({ detail }) => toast(detail));
editor.addEventListener("removed", ({ detail }) => toast(`${detail} is deleted. Undo brings it back with its counts.`, true));
editor.addEventListener("end", ({ detail: { tool, drawn } }) => {
  if (drawn) counts.focusName(drawn);
  else byId(`draw-${tool}`).focus();
});

// A click without a place is one of the keyboard.
for (const tool of KINDS) byId(`draw-${tool}`).addEventListener("click", ({ detail }) => editor.take(tool, detail === 0));
byId("undo").addEventListener("click", () => drawing.undo());
byId("toast-undo").addEventListener("click", () => {
  byId("toast").hidden = true;
  drawing.undo();
  byId("undo").focus();
});

for (const what of ["boxes", "ids", "trails"]) {
  byId(`show-${what}`).addEventListener("change", ({ target }) => {
    view.shown[what] = target.checked;
    view.draw();
  });
}

byId("cameras").addEventListener("change", ({ target }) => location.assign(target.value));

byId("snapshot").addEventListener("click", ({ currentTarget }) => {
  const moment = new Date(Date.now() - 60_000 * new Date().getTimezoneOffset()).toISOString();
  currentTarget.download = `${byId("source").textContent.replace(/[^\p{L}\p{N}]+/gu, "-") || "camera"}-${moment.slice(0, 19).replaceAll(":", "")}.jpg`;
});

const watch = document.querySelector(".watch");
byId("fullscreen").hidden = !document.fullscreenEnabled; // an iPhone has none
byId("fullscreen").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : watch.requestFullscreen()));
document.addEventListener("fullscreenchange", () => byId("fullscreen").setAttribute("aria-pressed", String(document.fullscreenElement !== null)));

function setTheme(theme) {
  const [sign, word] = THEMES[theme];
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = byId("theme");
  button.textContent = sign;
  button.title = `Colours: ${word}`;
  button.setAttribute("aria-label", button.title);
  button.dataset.theme = theme;
  localStorage.setItem("theme", theme);
}

byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(byId("theme").dataset.theme) + 1) % names.length]);
});
const stored = localStorage.getItem("theme");
setTheme(stored in THEMES ? stored : "auto");
