// A job: while it waits and runs, when it is done, and where it failed.

import { call, ended, watch } from "/page/api.js";
import { confidenceLine, line, scaled } from "/page/charts.js";
import { button, confirm, h, put, say, show } from "/page/dom.js";
import * as drafts from "/page/drafts.js";
import { result } from "/page/result.js";
import { trouble } from "/page/trouble.js";
import { PHASES, STATUS, clock, confidence, facts, left, many, phase, rate, titleOf } from "/page/words.js";

const LEAST_SPAN_DB = 0.5; // Of the line of likeness, which would turn a hundredth into a steep fall.

export function job(main, id) {
  let shown = null; // { kind, update, close }
  const watching = watch(id, {
    onchange(now) {
      document.title = `${now.status === "processing" ? `${Math.floor(now.progress.fraction * 100)} % · ` : ""}${titleOf(now)} · retint`;
      const kind = !ended(now) ? "running" : now.status === "succeeded" ? "done" : "over";
      if (shown?.kind !== kind) {
        shown?.close?.();
        shown = { kind, ...{ running, done: result, over }[kind](main, now) };
      }
      shown.update?.(now);
    },
    onlost() { shown?.lost?.(); },
    onproblem(problem) { put(main, trouble(problem)); },
  });
  return { close() { watching.close(); shown?.close?.(); } };
}

function head(now, ...actions) {
  const meta = h("p", { class: "muted" });
  const title = h("span", {}, titleOf(now));
  const status = h("span", { class: "status" });
  return {
    element: h("div", { class: "head row between" }, h("div", {}, h("h1", {}, title, status), meta), h("div", { class: "row" }, actions)),
    update(job) {
      say(title, titleOf(job)); // Colored frames, which may name it, are told of once they are placed.
      status.className = `status ${job.status}`;
      say(status, STATUS[job.status]);
      say(meta, [facts(job.video), job.shots.length ? many(job.shots.length, "shot") : ""].filter(Boolean).join(" · "));
    },
  };
}

function running(main, first) {
  const cancel = button("Cancel", { kind: "danger", onclick: async () => {
    if (!(await confirm("Stop coloring this film?", { explain: "What is colored so far is not kept. You can begin again from the same frames.", action: "Stop it", stay: "Go on coloring" }))) return;
    try { await call(`/v1/jobs/${first.id}/cancel`, { method: "POST" }); } catch (problem) { if (problem.code !== "job_already_finished") put(note, trouble(problem)); }
  } });
  const top = head(first, cancel);
  const note = h("div", {});
  const bar = h("progress", { max: 1, "aria-label": "How far the film is" });
  const percent = h("strong", { class: "percent" });
  const figures = h("span", { class: "muted" });
  const phases = h("ol", { class: "phases" }, PHASES.slice(1, 5).filter(([name]) => name !== "tuning" || first.options.tuning !== "off").map(([name, words]) => h("li", { "data-phase": name }, words)));
  const preview = previewOf(first.id);
  const tuning = h("section", { class: "panel", hidden: true });
  const sure = h("section", { class: "panel", hidden: true });
  put(main, top.element, note,
    h("div", { class: "progress-row" }, percent, bar, figures), phases,
    h("div", { class: "beside wide" }, preview.element, h("div", { class: "stack" }, tuning, sure)));
  let drawnTuning = "";
  let drawnSure = "";
  return {
    lost() { say(figures, "The connection is lost; looking again …"); },
    update(job) {
      top.update(job);
      const waits = job.status === "queued";
      bar.value = job.progress.fraction;
      show(percent, !waits);
      say(percent, `${Math.floor(job.progress.fraction * 100)} %`);
      const { frames_done: done, frames_total: total, fps, eta_seconds: eta } = job.progress;
      say(figures, waits
        ? `Waiting for its turn${job.queue_position ? `: ${many(job.queue_position, "film")} before it` : " …"}`
        : [phase(job.phase), total && done ? `frame ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "", fps && done ? rate(fps) : "", left(eta)].filter(Boolean).join(" · "));
      const at = PHASES.findIndex(([name]) => name === job.phase);
      for (const item of phases.children) {
        const own = PHASES.findIndex(([name]) => name === item.dataset.phase);
        item.className = at < 0 || own > at ? "" : own === at ? "now" : "past";
        if (own === at) item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current");
      }
      preview.update(job);
      drawnTuning = drawTuning(tuning, job, drawnTuning);
      drawnSure = drawConfidence(sure, job, drawnSure);
    },
  };
}

// What tuning has come to, on the colored frames that are learned now, or were last.
function drawTuning(place, job, before) {
  const curve = job.tuning?.curve ?? [];
  show(place, curve.length > 0);
  if (!curve.length) return "";
  const gain = Math.max(...curve.map((point) => point.held_out_psnr_db)) - curve[0].held_out_psnr_db;
  const shots = job.tuning.shots;
  const whose = job.shots.length > 1 && shots.length ? `Shot ${shots[0] + 1}${shots.length > 1 ? ` and ${many(shots.length - 1, "other")}` : ""}: ` : "";
  // Behind the last step the service rehearses: it colors the frames around with what it learned and without.
  const asked = { fast: 5, quality: 20 }[job.options.tuning] ?? job.options.tuning?.iterations;
  const rehearses = job.phase === "tuning" && curve.at(-1).step >= asked;
  const key = `${shots.join()}:${curve.length}:${rehearses}`;
  if (key === before) return before;
  const steps = Math.max(1, curve.at(-1).step);
  const loss = scaled(curve.map((point) => point.loss)).map((y, i) => [curve[i].step / steps, y]);
  const held = scaled(curve.map((point) => point.held_out_psnr_db), { least: LEAST_SPAN_DB }).map((y, i) => [curve[i].step / steps, y]);
  put(place, h("h2", {}, "Learning your colors"),
    h("p", { class: "muted" }, `${whose}${many(curve.at(-1).step, "step")}, ${gain >= 0.005 ? `${gain.toFixed(2)} dB closer to your frame than before` : "no gain so far"}`),
    rehearses ? h("p", {}, "Trying on the frames around it whether that helps there too; this can take longer than the steps did …") : null,
    h("div", { class: "pair" },
      h("figure", {}, line(loss, { label: `Error on your frame, from ${curve[0].loss.toPrecision(3)} to ${curve.at(-1).loss.toPrecision(3)}`, kind: "loss" }), h("figcaption", {}, "Error, ", h("b", {}, curve.at(-1).loss.toPrecision(3)))),
      h("figure", {}, line(held, { label: `Likeness to the part of your frame kept aside, from ${curve[0].held_out_psnr_db.toFixed(1)} to ${curve.at(-1).held_out_psnr_db.toFixed(1)} dB`, kind: "gain" }), h("figcaption", {}, "Likeness, ", h("b", {}, `${curve.at(-1).held_out_psnr_db.toFixed(1)} dB`)))));
  return key;
}

function drawConfidence(place, job, before) {
  const points = job.confidence ?? [];
  show(place, points.length > 0);
  const key = String(points.length);
  if (key === before || !points.length) return key;
  const mean = points.reduce((sum, point) => sum + point.mean, 0) / points.length;
  put(place, h("h2", {}, "How sure the colors are"), h("p", { class: "muted" }, `${confidence(mean)} on average so far`),
    h("figure", {}, confidenceLine(points, job.video?.frames ?? job.progress.frames_total ?? points.length, { height: 60 }), h("figcaption", { class: "ends" }, h("span", {}, "0:00"), h("span", {}, job.video ? clock(job.video.duration_seconds) : ""))));
  return key;
}

// Frames over the whole film, each there as soon as it is colored; the newest large.
function previewOf(id) {
  const large = h("img", { class: "large", alt: "" });
  const none = h("p", { class: "muted wait" }, "The first colored frames appear here.");
  const caption = h("p", { class: "muted small" });
  const strip = h("ol", { class: "strip", "aria-label": "Frames colored so far" });
  const cells = new Map();
  let picked = null;
  const element = h("section", { class: "panel preview", "aria-label": "What is colored so far" }, h("div", { class: "stage" }, large, none), caption, strip);
  show(large, false);
  const look = (frame, job) => {
    large.src = `/v1/jobs/${id}/stills/${frame}`;
    large.alt = `Frame ${frame} in color`;
    say(caption, `Frame ${frame}${job.video ? ` · ${clock(frame / job.video.frame_rate)}` : ""}`);
    show(large, true);
    show(none, false);
    for (const [number, cell] of cells) cell.firstChild.setAttribute("aria-pressed", String(number === frame));
  };
  return { element, update(job) {
    const fresh = job.stills.filter((frame) => !cells.has(frame));
    for (const frame of fresh) {
      const cell = h("li", {}, h("button", { type: "button", "aria-pressed": "false", "aria-label": `Frame ${frame}`, onclick: () => { picked = frame; look(frame, job); } },
        h("img", { src: `/v1/jobs/${id}/stills/${frame}`, alt: "", loading: "lazy" })));
      const after = [...cells.keys()].filter((number) => number > frame).sort((one, two) => one - two)[0];
      cells.set(frame, cell);
      strip.insertBefore(cell, after === undefined ? null : cells.get(after));
    }
    if (fresh.length && picked === null) look(fresh.at(-1), job);
  } };
}

// Failed or canceled: why, and what to do now.
const NEXT = {
  reference_unplaced: "frames", reference_not_color: "frames", reference_undecodable: "frames",
  video_undecodable: "film", video_unsupported: "film", video_too_large: "film", video_too_long: "film",
};

const PASSING = ["worker_lost", "timed_out", "internal", "storage_full", "storage_unavailable", "out_of_memory", "weights_differ"];

function over(main, first) {
  const top = head(first, button("Delete", { glyph: "bin", onclick: async () => {
    if (!(await confirm(`Delete ${titleOf(first)}?`, { explain: "The record of it is removed from the service.", action: "Delete" }))) return;
    await call(`/v1/jobs/${first.id}`, { method: "DELETE" }).catch(() => {});
    location.hash = "#/";
  } }));
  const place = h("div", {});
  put(main, top.element, place);
  top.update(first);
  explain();
  return { update: top.update };

  async function explain() {
    const error = first.error ?? { title: "It was canceled", detail: "Nothing was made. The frames and your colored ones are still there to begin again." };
    const from = first.options.metadata?.keyframes;
    const { reuse } = first.options;
    const source = reuse ? await call(`/v1/jobs/${reuse}`).then(() => true, () => false) : false;
    const still = Boolean(from) && (await drafts.isThere(from));
    const way = NEXT[error.code];
    const actions = [];
    // What went wrong of itself may go right now, from where it stopped.
    if (PASSING.includes(error.code)) actions.push(button("Try again", { kind: "main", onclick: async () => {
      try {
        await call(`/v1/jobs/${first.id}/retry`, { method: "POST" });
        dispatchEvent(new HashChangeEvent("hashchange"));
      } catch (problem) {
        put(place, trouble(problem));
      }
    } }));
    if (source) actions.push(h("a", { class: `button ${actions.length ? "" : "main"}`, href: `#/job/${reuse}` }, "Back to the film that it goes on from"));
    if (still && way !== "film") actions.push(h("a", { class: `button ${actions.length ? "" : "main"}`, href: `#/film/${from}`, onclick: () => drafts.reopen(from) }, way === "frames" ? "Change the colored frames" : "Back to its frames, and begin again"));
    else if (!source) actions.push(h("a", { class: `button ${actions.length ? "" : "main"}`, href: "#/" }, "Choose a film"));
    put(place, h("div", { class: `notice ${first.error ? "bad" : ""}`, role: first.error ? "alert" : null }, h("h2", {}, error.title), h("p", {}, error.detail), h("div", { class: "row" }, actions)));
  }
}
