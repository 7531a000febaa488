// The first view: a place to drop a film, and all films that were begun.

import { call, ended, get, isGone } from "/page/api.js";
import { button, confirm, h, icon, put, say, show, tell } from "/page/dom.js";
import * as drafts from "/page/drafts.js";
import { dropping } from "/page/dropping.js";
import { begin, chooseFilm } from "/page/sending.js";
import { trouble } from "/page/trouble.js";
import { discardInterrupted, interrupted } from "/page/tus.js";
import { STATUS, ago, bytes, clock, left, many, phase, titleOf } from "/page/words.js";

const FILTERS = [["", "All"], ["draft", "Not started"], ["queued", "Waiting"], ["processing", "Being colored"], ["succeeded", "Done"], ["failed", "Failed"], ["canceled", "Canceled"]];
const OFTEN = 2000;
const SELDOM = 15000;
let chosenFilter = "";

export function home(main) {
  const problemPlace = h("div", {});
  const onproblem = (problem) => put(problemPlace, trouble(problem));
  const drop = h("section", { class: "drop", "aria-label": "Begin with a film" },
    icon("film"),
    h("h1", {}, "Drop a black-and-white film here"),
    h("p", { class: "muted" }, "It shows you which frames to color, and colors the rest from them."),
    chooseFilm("Choose a film", onproblem));
  dropping(drop, (files) => {
    if (files.length > 1) tell("One film at a time: the first of them is sent.");
    begin(files[0]).catch(onproblem);
  }, { wholePage: true });
  const broken = h("div", {});
  const list = h("ul", { class: "films" });
  const empty = h("p", { class: "muted empty" });
  const more = button("Show more", { onclick: () => load({ further: true }) });
  const filters = h("fieldset", { class: "chips" }, h("legend", { class: "away" }, "Which films"),
    FILTERS.map(([value, words]) => h("label", { class: "chip" },
      h("input", { type: "radio", name: "filter", class: "away", checked: value === chosenFilter, onchange: () => { chosenFilter = value; rows.clear(); put(list); load(); } }),
      h("span", {}, words))));
  const films = h("section", { "aria-labelledby": "films-title", hidden: true },
    h("div", { class: "row between" }, h("h2", { id: "films-title" }, "Your films"), filters), list, empty, h("div", { class: "row center" }, more));
  const lost = h("div", {});
  put(main, drop, problemPlace, lost, broken, films);

  const rows = new Map();
  let pages = 1;
  let timer = 0;
  let closed = false;
  let asked = 0;

  async function load({ further = false } = {}) {
    clearTimeout(timer);
    if (further) pages += 1;
    const mine = (asked += 1);
    let data = [];
    let next = null;
    try {
      if (chosenFilter !== "draft") {
        for (let page = 0; page < pages; page++) {
          const query = new URLSearchParams({ limit: "20", ...(chosenFilter && { status: chosenFilter }), ...(next && { after: next }) });
          const answer = await get(`/v1/jobs?${query}`);
          data = [...data, ...answer.data];
          next = answer.next;
          if (!answer.has_more) break;
        }
      }
    } catch (problem) {
      if (closed || mine !== asked) return;
      if (problem.status !== 401) put(lost, trouble(problem));
      timer = setTimeout(load, SELDOM);
      return;
    }
    const begun = ["", "draft", "failed"].includes(chosenFilter) ? (await notStarted()).filter((draft) => !chosenFilter || (chosenFilter === "failed") === Boolean(draft.error)) : [];
    if (closed || mine !== asked) return;
    put(lost);
    arrange([...begun.map((draft) => ({ draft, key: draft.id })), ...data.map((job) => ({ job, key: `${job.id} ${titleOf(job)}` }))]);
    show(more, Boolean(next));
    const any = rows.size > 0;
    show(films, any || chosenFilter !== "");
    say(empty, any ? "" : "None of your films is in this list.");
    drop.classList.toggle("small", any || chosenFilter !== "");
    timer = setTimeout(load, data.some((job) => !ended(job)) ? OFTEN : SELDOM);
  }

  function arrange(entries) {
    const wanted = new Set(entries.map((entry) => entry.key));
    for (const [key, row] of rows) if (!wanted.has(key)) { row.element.remove(); rows.delete(key); }
    entries.forEach((entry, place) => {
      let row = rows.get(entry.key);
      if (!row) rows.set(entry.key, (row = entry.draft ? draftRow(entry.draft, load) : jobRow(entry.job, load)));
      else row.update(entry.job ?? entry.draft);
      if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
    });
  }

  put(broken, interrupted().map((entry) => {
    const note = h("div", { class: "notice row between" },
      h("p", {}, h("strong", {}, entry.name), ` was not sent to its end: ${bytes(entry.bytes)} of ${bytes(entry.size)} are there. Choose the same file again to go on.`),
      button("Forget it", { onclick: () => { discardInterrupted(entry); note.remove(); } }));
    return note;
  }));
  load();
  return { close() { closed = true; clearTimeout(timer); } };
}

// A film that the service could not read has no shots, and never gets a job.
async function notStarted() {
  const found = (await drafts.all()).filter((draft) => !draft.started);
  await Promise.all(found.filter((draft) => draft.poster === undefined && !draft.error).map(async (draft) => {
    const search = await get(`/v1/keyframes/${draft.id}`).catch(() => null);
    if (search?.status !== "failed") return;
    draft.error = search.error.title;
    await drafts.save(draft);
  }));
  return found;
}

function thumbnail(address, words) {
  const none = () => h("span", { class: "no-picture" }, icon("film"));
  if (!address) return none();
  const image = h("img", { src: address, alt: words, loading: "lazy", width: 160, height: 90, onerror: () => image.replaceWith(none()) });
  return image;
}

// Of a film that has no frame in color yet: one of those that it was prepared by.
function grayStill(job) {
  const { keyframes, poster } = job.options.metadata ?? {};
  const known = /^keyframes_\w+$/.test(keyframes ?? "") && /^\d+$/.test(poster ?? "");
  return known ? `/v1/keyframes/${keyframes}/stills/${poster}` : "";
}

function jobRow(first, reload) {
  const href = `#/job/${first.id}`;
  const title = titleOf(first);
  const picture = h("a", { class: "thumb", href, tabindex: "-1", "aria-hidden": "true" });
  const status = h("span", { class: "status" });
  const meta = h("p", { class: "muted" });
  const bar = h("progress", { max: 1, "aria-label": `How far ${title} is` });
  let pictured = null;
  const element = h("li", {}, picture,
    h("div", { class: "what" }, h("p", {}, h("a", { class: "name", href }, title), status), meta, bar),
    button(`Delete ${title}`, { glyph: "bin", only: true, kind: "quiet", onclick: async () => {
      const running = !ended(last);
      const sure = await confirm(`Delete ${title}?`, { explain: running ? "It is stopped, and its files are removed." : "The film in color and all that belongs to it are removed from the service.", action: "Delete" });
      if (!sure) return;
      try {
        await call(`/v1/jobs/${first.id}`, { method: "DELETE" });
      } catch (problem) {
        if (!isGone(problem)) {
          tell(`It is still there. ${problem.message}`);
          return;
        }
      }
      element.remove();
      reload();
    } }));
  let last = first;
  function update(job) {
    last = job;
    const still = job.stills[Math.floor((job.stills.length - 1) / 2)];
    const wanted = still === undefined ? grayStill(job) : `/v1/jobs/${job.id}/stills/${still}`;
    if (wanted !== pictured) put(picture, thumbnail((pictured = wanted), ""));
    status.className = `status ${job.status}`;
    say(status, STATUS[job.status]);
    const running = job.status === "processing";
    show(bar, running);
    bar.value = job.progress.fraction;
    const length = job.video ? clock(job.video.duration_seconds) : "";
    const shots = job.shots.length ? many(job.shots.length, "shot") : "";
    const now = running ? [phase(job.phase), left(job.progress.eta_seconds)] : job.status === "queued" ? [job.queue_position ? `${many(job.queue_position, "film")} before it` : "next"] : job.status === "failed" ? [job.error?.title] : [];
    say(meta, [length, shots, ...now, ago(job.created_at)].filter(Boolean).join(" · "));
  }
  update(first);
  return { element, update };
}

function draftRow(draft, reload) {
  const href = `#/film/${draft.id}`;
  const status = h("span", {});
  const meta = h("p", { class: "muted" });
  const element = h("li", {},
    h("a", { class: "thumb", href, tabindex: "-1", "aria-hidden": "true" }, thumbnail(draft.poster === undefined ? "" : `/v1/keyframes/${draft.id}/stills/${draft.poster}`, "")),
    h("div", { class: "what" },
      h("p", {}, h("a", { class: "name", href }, draft.title), status), meta),
    button(`Delete ${draft.title}`, { glyph: "bin", only: true, kind: "quiet", onclick: async () => {
      if (!(await confirm(`Delete ${draft.title}?`, { explain: "The film and its colored frames are removed; no film in color was made of them yet.", action: "Delete" }))) return;
      const { next } = (await drafts.load(draft.id)) ?? {};
      await drafts.remove(draft.id);
      for (const search of [draft.id, next]) if (search) await call(`/v1/keyframes/${search}`, { method: "DELETE" }).catch(() => {});
      element.remove();
      reload();
    } }));
  function update({ error, references, created }) {
    status.className = `status ${error ? "failed" : "draft"}`;
    say(status, error ? STATUS.failed : "Not started");
    const now = error ?? (references.length ? many(references.length, "colored frame") : "no colored frame yet");
    say(meta, [now, ago(new Date(created).toISOString())].join(" · "));
  }
  update(draft);
  return { element, update };
}
