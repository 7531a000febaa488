// One more colored frame for a film that is done: the frame under the cursor, out of the film itself and not off the
// screen, is colored, and the film is colored again where that frame makes a difference.

import { Problem, Submission, call, isGone, send, waitFor } from "/page/api.js";
import { button, chooser, h, link, put, say } from "/page/dom.js";
import * as drafts from "/page/drafts.js";
import { dropping } from "/page/dropping.js";
import { freeName, isGray } from "/page/matching.js";
import { paint } from "/page/paint.js";
import { inShape } from "/page/shape.js";
import { gray, trouble } from "/page/trouble.js";
import { clock, titleOf } from "/page/words.js";

// `place`: { frame, seconds } as the player shows it. Returns { element, close }.
export function addFrame(job, place, { onclose }) {
  const leaving = new AbortController();
  const title = h("h2", { tabindex: "-1" }, `A colored frame at ${clock(place.seconds)}`);
  const body = h("div", { class: "stack" }, h("p", { class: "muted", role: "status" }, "Taking the frame out of the film …"));
  let search = null;
  const close = () => {
    leaving.abort();
    element.remove();
    // It was for this one picture.
    if (search) call(search, { method: "DELETE" }).catch(() => {});
    search = null;
    onclose();
  };
  const element = h("section", { class: "panel again", "aria-label": "One more colored frame" },
    h("div", { class: "row between" }, title, button("Close", { glyph: "close", only: true, kind: "quiet", onclick: close })), body);
  take();
  return { element, close, focus() { title.focus(); } };

  async function take() {
    try {
      const form = new FormData();
      form.append("video_of", job.id);
      form.append("options", JSON.stringify({ frames: [{ time_seconds: Math.max(0, place.seconds) }], keep_input: false, metadata: { title: titleOf(job) } }));
      const answer = await send("/v1/keyframes", { method: "POST", body: form, signal: leaving.signal });
      const address = `/v1/keyframes/${JSON.parse(answer.responseText).id}`;
      search = address;
      const record = await waitFor(address, { signal: leaving.signal, onchange: (now) => {
        if (now.status === "queued") say(body.firstChild, "Waiting for the service …");
      } });
      if (record.status !== "succeeded") put(body, trouble(new Problem(record.error ?? { title: "It was canceled", detail: "Close this and try again." })));
      else offer(address, record.keyframes[0], record.video);
    } catch (problem) {
      if (problem.name !== "AbortError") put(body, await inWords(problem, { again: take }));
    }
  }

  // The film may have been deleted since it was shown: then there is nothing to try again.
  async function inWords(problem, ways) {
    const gone = await call(`/v1/jobs/${job.id}`).then(() => false, isGone);
    return gone
      ? trouble(new Problem({ title: "This film was deleted", detail: "Nothing can be added to it any more. What there is of your films is on the first page." }))
      : trouble(problem, ways);
  }

  function offer(address, keyframe, film) {
    const picture = `${address}/frames/${keyframe.frame}`;
    const image = inShape(h("img", { src: `${address}/stills/${keyframe.frame}`, alt: `Frame ${keyframe.frame}` }), film);
    const note = h("p", { class: "muted", role: "status" }, "Color it in any program, or here. Then the film is colored again where this frame makes a difference; the rest stays as it is.");
    const problemPlace = h("div", {});
    const start = button("Color again with it", { kind: "main", disabled: true, onclick: begin });
    const submission = new Submission();
    let made = null;
    say(title, `A colored frame at ${clock(keyframe.time_seconds)}, frame ${keyframe.frame}`);
    const use = async (blob, strokes) => {
      put(problemPlace);
      if (await isGray(blob)) {
        put(problemPlace, gray([blob.name ?? keyframe.name]));
        return;
      }
      made = { blob, strokes };
      if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(blob);
      start.disabled = false;
      say(note, "This frame is added to those that the film was colored from.");
    };
    put(body, h("div", { class: "beside" }, h("div", { class: "stage" }, image), h("div", { class: "stack" },
      link("Download it", picture, { glyph: "download", download: keyframe.name }),
      button("Color it here", { glyph: "brush", onclick: async () => {
        try {
          const painted = await paint({ address: picture, film, title: `Frame ${keyframe.frame}`, strokes: made?.strokes });
          if (painted) use(painted.blob, painted.strokes);
        } catch (problem) {
          put(problemPlace, trouble(problem));
        }
      } }),
      chooser("Add it colored", { accept: "image/*,.tif,.tiff", onfiles: ([file]) => use(file) }), note, start)), problemPlace);
    dropping(body, ([file]) => use(file), { wholePage: true });

    async function begin() {
      start.disabled = true;
      put(problemPlace);
      const name = freeName(keyframe.name, job.references.map((one) => one.name));
      const { model, tuning, restore, working_size, shots, output, variants, metadata } = job.options;
      const form = new FormData();
      form.append("options", JSON.stringify({
        model, tuning, restore, working_size, shots, output, variants, metadata, reuse: job.id,
        references: [{ name, frame: keyframe.frame }],
      }));
      form.append("references", made.blob, name);
      try {
        const answer = await send("/v1/jobs", { method: "POST", body: form, headers: { "Idempotency-Key": submission.nameFor(made.blob) } });
        const shot = job.shots.findIndex((one) => one.first_frame <= keyframe.frame && keyframe.frame <= one.last_frame);
        if (metadata.keyframes) await drafts.addFrame(metadata.keyframes, { ...made, name, shot, frame: keyframe.frame });
        location.hash = `#/job/${JSON.parse(answer.responseText).id}`;
      } catch (problem) {
        put(problemPlace, await inWords(problem));
        start.disabled = false;
      }
    }
  }
}
