// A film before it is colored: waits for its frames to color, and for others where the film is looked through again.

import { Problem, call, ended, get, isGone, waitFor } from "/page/api.js";
import { button, h, put, say, tell } from "/page/dom.js";
import * as drafts from "/page/drafts.js";
import { prepare } from "/page/film.js";
import { trouble } from "/page/trouble.js";
import { left, many, phase, titleOf } from "/page/words.js";

export async function film(main, id) {
  const leaving = new AbortController();
  const draft = (await drafts.load(id)) ?? { id, title: "", created: Date.now(), references: [], choices: {} };
  let record;
  try {
    record = await get(`/v1/keyframes/${id}`);
  } catch (problem) {
    if (isGone(problem) && draft.next) return goOn();
    if (isGone(problem)) await drafts.remove(id); // It has expired, or was deleted elsewhere.
    throw problem;
  }
  draft.title ||= titleOf(record);
  document.title = `${draft.title} · retint`;
  present(record).catch((problem) => {
    if (problem.name !== "AbortError") put(main, trouble(problem));
  });
  drafts.watch(draft, () => {
    // Who is painting goes on; what is painted is added to what the other tab has saved.
    if (!document.querySelector("dialog[open]")) dispatchEvent(new HashChangeEvent("hashchange"));
  }, leaving.signal);
  return { close() { leaving.abort(); } };

  async function present(first) {
    const found = ended(first) ? first : await waiting(id, "The film is here. Now its shots are found, and in each the frame that is best to color.");
    if (found.status !== "succeeded") put(main, failed(found));
    else if (draft.next) await presentNext(found);
    else prepare(main, draft, found);
  }

  // The frames of a search that looks through the film again; those `found` before, where it fails or is stopped.
  async function presentNext(found) {
    const stop = button("Keep the frames as they were", { onclick: () => call(`/v1/keyframes/${draft.next}/cancel`, { method: "POST" }).catch((problem) => tell(problem.message)) });
    const next = await waiting(draft.next, "The film is looked through again. Your colored frames stay.", stop).catch((problem) => {
      if (!isGone(problem)) throw problem;
      return null;
    });
    if (next?.status === "succeeded") {
      await goOn();
      return;
    }
    discard(draft.next);
    await drafts.change(draft, () => { draft.next = undefined; });
    prepare(main, draft, found, next?.error && new Problem(next.error));
  }

  async function goOn() {
    const done = await drafts.goOn(draft);
    if (done) discard(done);
    if (location.hash === `#/film/${id}`) location.replace(`#/film/${draft.id}`);
  }

  function discard(search) {
    call(`/v1/keyframes/${search}`, { method: "DELETE" }).catch(() => {});
  }

  async function waiting(search, explain, ...actions) {
    const bar = h("progress", { max: 1, "aria-label": "How far the search is" });
    const figures = h("p", { class: "figures" });
    put(main, h("section", { class: "panel narrow" }, h("h1", {}, draft.title),
      h("p", { class: "muted" }, explain),
      bar, figures, h("div", { class: "row" }, actions)));
    return waitFor(`/v1/keyframes/${search}`, { signal: leaving.signal, onchange: (now) => {
      bar.value = now.progress.fraction;
      const waits = now.status === "queued" ? "Waiting for its turn" + (now.queue_position ? `: ${many(now.queue_position, "film")} before it` : "") : phase(now.phase);
      say(figures, [waits, now.status === "processing" ? left(now.progress.eta_seconds) : ""].filter(Boolean).join(" · "));
    } });
  }

  function failed(found) {
    const error = found.error ?? { title: "The search was canceled", detail: "Send the film again to begin anew." };
    return h("div", { class: "notice bad", role: "alert" }, h("h1", {}, error.title), h("p", {}, error.detail),
      h("div", { class: "row" }, h("a", { class: "button main", href: "#/" }, "Choose another film")));
  }
}
