// A film on its way to the service. It goes on while other views are shown.

import { Problem, Submission, pause, send } from "/page/api.js";
import { button, chooser, confirm, h, put, say, show } from "/page/dom.js";
import * as drafts from "/page/drafts.js";
import { trouble } from "/page/trouble.js";
import { Upload } from "/page/tus.js";
import { bytes, left } from "/page/words.js";

const MOST_TRIES = 8;
let current = null;

// What the service reads (worker/media/source.py). Systems know few of these for videos by themselves.
const ACCEPTED = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG, MXF, OGG or FLV";
const ENDINGS = [".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".mxf", ".ogg", ".ogv", ".flv", ".f4v"];

const looksLikeVideo = (file) => file.type.startsWith("video/") || ENDINGS.some((ending) => file.name.toLowerCase().endsWith(ending));

// Begin with a file that was chosen or dropped; says in words where it is none.
export async function begin(file) {
  if (!looksLikeVideo(file)) {
    throw new Problem({ title: "That is not a video", detail: `${file.name} does not look like a film. The service reads ${ACCEPTED}.` });
  }
  if (file.size === 0) throw new Problem({ title: "There is nothing in that file", detail: `${file.name} is empty; copy it again from where it came.` });
  if (current?.running) {
    const sure = await confirm(`Stop sending ${current.file.name}?`, { explain: "Only one film is sent at a time. What was sent of it is kept for a day.", action: "Stop it", stay: "Go on sending it" });
    if (!sure) return;
    current.upload.stop();
  }
  current = new Sending(file);
  current.run();
  location.hash = "#/new";
}

class Sending {
  constructor(file) {
    this.file = file;
    this.sent = 0;
    this.running = false;
    this.problem = null;
    this.troubled = false;
    this.pace = [];
    this.submission = new Submission();
    this.changed = () => {};
    this.upload = new Upload(file, {
      onprogress: (sent) => {
        this.sent = sent;
        this.troubled = false;
        const now = performance.now();
        this.pace = [...this.pace.filter(([at]) => now - at < 8000), [now, sent]];
        this.tell();
      },
      ontrouble: () => { this.troubled = true; this.pace = []; this.tell(); },
    });
  }

  async run() {
    this.running = true;
    this.problem = null;
    this.tell();
    addEventListener("beforeunload", warn);
    try {
      const uploadId = await this.upload.finish();
      const id = await search(uploadId, this.file.name, this.submission.nameFor(uploadId));
      if (current === this) {
        current = null;
        if (location.hash === "#/new") location.hash = `#/film/${id}`;
      }
    } catch (problem) {
      if (problem.name !== "AbortError") this.problem = problem;
    }
    this.running = false;
    // Another film may be on its way by now.
    if (!current?.running) removeEventListener("beforeunload", warn);
    this.tell();
  }

  get secondsLeft() {
    const [first, last] = [this.pace[0], this.pace.at(-1)];
    if (!first || last[0] - first[0] < 1000 || last[1] <= first[1]) return null;
    return ((this.file.size - this.sent) * (last[0] - first[0])) / 1000 / (last[1] - first[1]);
  }

  tell() {
    if (!current || current === this) {
      const share = Math.floor((100 * this.sent) / Math.max(1, this.file.size));
      put(document.getElementById("bar-extra"), current && this.running && location.hash !== "#/new"
        ? h("a", { class: "quiet", href: "#/new" }, `Sending a film: ${share} %`) : null);
    }
    this.changed();
  }
}

function warn(event) {
  event.preventDefault();
}

// Ask for the shots of what was sent; the draft is kept under the search's id.
async function search(uploadId, title, key) {
  const form = new FormData();
  form.append("video_upload", uploadId);
  form.append("options", JSON.stringify({ metadata: { title } }));
  const headers = { "Idempotency-Key": key }; // The same each time: an answer may be lost, too.
  const { id } = JSON.parse((await patiently(() => send("/v1/keyframes", { method: "POST", body: form, headers }))).responseText);
  await drafts.save({ id, title, created: Date.now(), references: [], choices: {} });
  return id;
}

// Again and again where the connection breaks, as the upload before it.
async function patiently(ask) {
  for (let tries = 1; ; tries++) {
    try {
      return await ask();
    } catch (problem) {
      if (problem.code !== "unreachable" || tries >= MOST_TRIES) throw problem;
      await pause(1000 * tries);
    }
  }
}

export function sending(main) {
  if (!current) {
    location.hash = "#/";
    return undefined;
  }
  const it = current;
  const bar = h("progress", { max: it.file.size || 1, "aria-label": "How much is sent" });
  const figures = h("p", { class: "figures" });
  const place = h("div", {});
  const pauseButton = button("Pause", { onclick: () => it.upload.stop() });
  const goOn = button("Go on", { kind: "main", onclick: () => it.run() });
  const cancel = button("Cancel", { onclick: async () => {
    if (!(await confirm("Cancel sending this film?", { explain: "What was sent of it is removed.", action: "Cancel it", stay: "Go on sending it" }))) return;
    current = null;
    it.upload.discard();
    it.tell();
    location.hash = "#/";
  } });
  put(main, h("section", { class: "panel narrow" },
    h("h1", {}, it.file.name),
    h("p", { class: "muted" }, "The film is on its way to the service. If the connection breaks, it goes on by itself."),
    bar, figures, place, h("div", { class: "row" }, pauseButton, goOn, cancel)));
  it.changed = () => {
    bar.value = it.sent;
    const much = `${bytes(it.sent)} of ${bytes(it.file.size)}`;
    const pace = it.troubled ? "the connection is lost; trying again" : it.running ? left(it.secondsLeft) : "paused";
    say(figures, it.sent >= it.file.size && it.running ? `${much} · one moment` : [much, pace].filter(Boolean).join(" · "));
    show(pauseButton, it.running);
    show(goOn, !it.running && !it.problem);
    put(place, it.problem ? trouble(it.problem, { again: () => it.run() }) : null);
  };
  it.changed();
  return { close() { it.changed = () => {}; it.tell(); } };
}

export const chooseFilm = (words, onproblem) =>
  chooser(words, { accept: ["video/*", ...ENDINGS].join(), kind: "main", onfiles: ([file]) => begin(file).catch(onproblem) });
