// A film in color: seen beside what it was, measured, and taken home.

import { addFrame } from "/page/again.js";
import { call, get } from "/page/api.js";
import { button, confirm, h, icon, link, put, show } from "/page/dom.js";
import * as drafts from "/page/drafts.js";
import { player } from "/page/player.js";
import { VARIANTS, bytes, clock, confidence, facts, many, rate, titleOf } from "/page/words.js";

const WORTH_IT = 1; // Of a suggested frame: as much as one frame that nobody trusts and then everybody does.
const MOST_SUGGESTIONS = 12;

export function result(main, job) {
  const title = titleOf(job);
  const remove = button("Delete", { glyph: "bin", kind: "quiet", onclick: async () => {
    if (!(await confirm(`Delete ${title}?`, { explain: "The film in color and all that belongs to it are removed from the service.", action: "Delete" }))) return;
    await call(`/v1/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});
    location.hash = "#/";
  } });
  const variant = (name) => job.variants.find((one) => one.name === name);
  const film = variant("video");
  const from = job.options.metadata?.keyframes;
  const again = link("Color it again with other settings", `#/film/${from}`, { hidden: true, onclick: () => drafts.reopen(from) });
  const stage = h("div", {});
  const extra = h("div", {});
  const below = h("div", { class: "beside even" });
  put(main,
    h("div", { class: "head row between" },
      h("div", {}, h("h1", {}, title, h("span", { class: "status succeeded" }, "Done")), h("p", { class: "muted" }, [facts(job.video), many(job.shots.length, "shot")].join(" · "))),
      h("div", { class: "row" }, remove, again, film ? h("a", { class: "button main", href: film.href, download: true }, icon("download"), h("span", {}, `Download the color film, ${bytes(film.bytes)}`)) : null)),
    job.warnings.length ? h("div", { class: "notice" }, job.warnings.map((text) => h("p", {}, text))) : null,
    stage, extra, below);

  let playing = null;
  let adding = null;
  let closed = false;
  compose();
  if (from) drafts.isThere(from).then((isThere) => show(again, isThere));
  return { close() { closed = true; adding?.close(); playing?.close(); } };

  async function compose() {
    const report = variant("report_json") ? await get(variant("report_json").href).catch(() => null) : null;
    if (closed) return;
    const suggestions = (report?.next_references ?? []).filter((one) => one.gain >= WORTH_IT).slice(0, MOST_SUGGESTIONS);
    const points = report?.confidence ?? job.confidence ?? [];
    if (variant("comparison")) {
      const add = button("Add a colored frame here", { glyph: "plus", kind: "small", disabled: job.options.keep_input === false, onclick: () => {
        playing.pause();
        adding?.close();
        adding = addFrame(job, playing.place, { onclose: () => add.focus() });
        put(extra, adding.element);
        adding.focus();
        adding.element.scrollIntoView({ block: "nearest" });
      } });
      playing = player({ address: variant("comparison").href, film: job.video, points, shots: job.shots, suggestions, actions: [add] });
      put(stage, playing.element);
    } else if (film?.media_type === "video/mp4") {
      put(stage, h("video", { class: "plain", src: film.href, controls: true, playsinline: true }));
    }
    put(below, measured(job, report, { suggestions, seek: (frame) => { playing?.seek(frame); stage.scrollIntoView({ block: "start" }); } }), downloads(job));
  }
}

function measured(job, report, { suggestions, seek }) {
  const values = (report?.confidence ?? job.confidence ?? []).map((point) => point.mean);
  const mean = values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
  const gains = job.shots.map((shot) => shot.tuning?.gain_db).filter((gain) => gain !== undefined && gain !== null);
  const gain = gains.reduce((sum, one) => sum + one, 0) / gains.length;
  const rows = [
    ["How sure the colors are", mean === null ? "" : `${confidence(mean)} on average`],
    ["Learned from your frames", !gains.length ? "" : gain >= 0.005 ? `${gain.toFixed(2)} dB closer to them` : "nothing that colored better, so nothing was changed"],
    ["Speed", report ? report.speed.frames_per_second && rate(report.speed.frames_per_second) : job.progress.fps ? rate(job.progress.fps) : ""],
    ["Colored frames", job.references.map((one) => one.name).join(", ")],
  ].filter(([, value]) => value);
  return h("section", { class: "panel", "aria-labelledby": "measured-title" }, h("h2", { id: "measured-title" }, "Measured"),
    h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    suggestions.length ? h("div", { class: "stack" }, h("h3", {}, "A colored frame would help here"),
      h("ul", { class: "plain-list" }, suggestions.map((one) => h("li", { class: "row between firm" },
        h("span", {}, `Shot ${one.shot + 1} · ${clock(one.frame / job.video.frame_rate)} · frame ${one.frame}`, h("span", { class: "muted" }, ` · ${surer(job.shots[one.shot], one.gain)}`)),
        button("Look at it", { kind: "small", onclick: () => seek(one.frame) }))))) : null);
}

// What a suggested frame may do for its shot. `gain` is of the sum of its frames' confidence (worker/next_reference.py).
export function surer({ first_frame: first, last_frame: last, confidence: now }, gain) {
  return `shot ${confidence(now)} sure, with it about ${confidence(Math.min(1, now + gain / (last - first + 1)))}`;
}

function downloads(job) {
  return h("section", { class: "panel", "aria-labelledby": "downloads-title" }, h("h2", { id: "downloads-title" }, "Downloads"),
    h("ul", { class: "plain-list" }, job.variants.map((one) => h("li", { class: "row between" },
      h("span", {}, VARIANTS[one.name] ?? one.name, h("span", { class: "muted" }, ` · ${bytes(one.bytes)}`)),
      h("span", { class: "row tight" },
        one.name === "report" ? h("a", { class: "button small", href: one.href, target: "_blank", rel: "noopener" }, "Open") : null,
        h("a", { class: "button small", href: one.href, download: true, "aria-label": `Download: ${VARIANTS[one.name] ?? one.name}` }, icon("download"), h("span", {}, "Download")))))));
}
