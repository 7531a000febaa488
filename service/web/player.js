// Before and after in one picture. Both halves come from one video that has them side by side, drawn to a canvas: they
// cannot drift apart, as two videos would.

import { button, h, put, say, show, svg } from "/page/dom.js";
import { confidenceLine } from "/page/charts.js";
import { clock } from "/page/words.js";

// `address`: of the side-by-side video. `film`: { frames, frame_rate, duration_seconds, has_audio }.
export function player({ address, film, points, shots, suggestions, actions = [] }) {
  const rate = film.frame_rate;
  const last = film.frames - 1;
  const video = h("video", { src: address, preload: "auto", playsinline: true, class: "away", tabindex: "-1", "aria-hidden": "true" });
  video.muted = !film.has_audio;
  const canvas = h("canvas", { role: "img", "aria-label": "The film, gray on the left of the line and in color on the right" });
  const context = canvas.getContext("2d", { alpha: false });
  const divider = h("span", { class: "divider", "aria-hidden": "true" });
  const split = h("input", { type: "range", class: "split", min: "0", max: "1000", value: "500", "aria-label": "Line between before and after", oninput: () => { draw(); } });
  const box = h("div", { class: "frame-box" }, canvas, h("span", { class: "corner left", "aria-hidden": "true" }, "before"), h("span", { class: "corner right", "aria-hidden": "true" }, "after"), split, divider);
  const stage = h("div", { class: "stage" }, box);
  const wait = h("p", { class: "muted wait" }, "Loading the film …");
  stage.append(wait);

  const time = h("input", { type: "range", class: "time", min: "0", max: String(last), value: "0", step: "1", "aria-label": "Place in the film", oninput: () => seek(Number(time.value)) });
  const marks = svg("svg", { class: "marks", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    shots.slice(1).map((shot) => svg("path", { d: `M${place(shot.first_frame)} 0v10` })));
  const suggested = h("div", { class: "suggestions" }, suggestions.map((one) => {
    const mark = h("button", { type: "button", class: "suggestion", title: `A colored frame here would help: ${clock(one.frame / rate)}`, "aria-label": `Go to frame ${one.frame}, where a colored frame would help`, onclick: () => { video.pause(); seek(one.frame); } });
    mark.style.setProperty("inset-inline-start", `${place(one.frame) / 10}%`);
    return mark;
  }));
  const track = h("div", { class: "track" }, confidenceLine(points, film.frames), marks, time, suggested);
  const playing = button("Play", { glyph: "play", only: true, onclick: toggle });
  const where = h("output", { class: "where" });
  const number = h("input", { type: "number", class: "frame-number", min: "0", max: String(last), value: "0", "aria-label": "Frame", onchange: goTo });
  const muting = button("Sound", { glyph: "sound", only: true, kind: "quiet", "aria-pressed": String(!video.muted), onclick: () => { video.muted = !video.muted; sound(); } });
  const full = button("Full screen", { glyph: "full", only: true, kind: "quiet", onclick: fullscreen });
  const controls = h("div", { class: "controls" },
    button("Previous frame", { glyph: "previous", only: true, kind: "quiet", onclick: () => step(-1) }), playing,
    button("Next frame", { glyph: "next", only: true, kind: "quiet", onclick: () => step(1) }),
    where, h("label", { class: "row tight" }, h("span", { class: "muted" }, "Frame"), number), h("span", { class: "gap" }), actions,
    film.has_audio ? muting : null, full);
  const element = h("section", { class: "player", "aria-label": "Before and after" }, video, stage, track, controls);

  let frame = 0;
  let mediaTime = 0;
  let start = null;
  let wanted = null;
  let told = NaN; // when the frame stands, in the video's own time, that the browser last told of
  let closed = false;

  function place(at) { return (1000 * at) / Math.max(1, last); }

  function draw() {
    const share = Number(split.value) / 1000;
    divider.style.setProperty("inset-inline-start", `${share * 100}%`);
    const [width, height] = [video.videoWidth / 2, video.videoHeight];
    if (!width || video.readyState < 2) return;
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      box.style.setProperty("--ratio", String(width / height));
    }
    const at = Math.round(share * width);
    if (at > 0) context.drawImage(video, 0, 0, at, height, 0, 0, at, height);
    if (at < width) context.drawImage(video, width + at, 0, width - at, height, at, 0, width - at, height);
  }

  // The frame that is seen, as the browser says; where it cannot, as the clock does.
  function shown(_, facts) {
    if (closed) return;
    // The first frame need not stand at zero: sound may begin before it.
    if (facts && start === null && video.currentTime < 0.5 / rate) start = facts.mediaTime;
    told = facts?.mediaTime ?? NaN;
    const since = (facts?.mediaTime ?? video.currentTime) - (start ?? 0);
    frame = Math.min(last, Math.max(0, Math.round(since * rate - (facts ? 0 : 0.5))));
    // The clock stands in the middle of a frame, which says nothing of whether it or the next one is meant.
    mediaTime = facts ? since : frame / rate;
    show(wait, false);
    draw();
    tell();
    if (facts) video.requestVideoFrameCallback(shown);
  }

  function tell() {
    if (wanted === null) time.value = frame;
    time.setAttribute("aria-valuetext", `${clock(frame / rate)}, frame ${frame}`);
    if (document.activeElement !== number) number.value = frame;
    say(where, `${clock(frame / rate)} / ${clock(film.duration_seconds)}`);
  }

  // One seek at a time, the newest wins: a slider moves faster than a decoder.
  function seek(to) {
    if (wanted !== null) { wanted = to; return; }
    wanted = to;
    video.currentTime = (start ?? 0) + Math.min((to + 0.5) / rate, Math.max(0, film.duration_seconds - 0.25 / rate));
  }

  video.addEventListener("seeked", () => {
    const next = wanted;
    wanted = null;
    if (next !== null && Math.abs((start ?? 0) + (next + 0.5) / rate - video.currentTime) > 0.75 / rate && next < last) seek(next);
    // Browsers do not always tell of a frame that they show after a seek; it is there to be drawn all the same.
    if (Math.abs(told - video.currentTime) < 1 / rate) { draw(); tell(); } else shown();
  });
  video.addEventListener("loadeddata", () => { if (!("requestVideoFrameCallback" in video)) shown(); else draw(); });
  video.addEventListener("error", () => { say(wait, "This browser cannot play the film. It can be downloaded below."); show(wait, true); });
  for (const name of ["play", "pause", "ended"]) video.addEventListener(name, () => {
    const runs = !video.paused && !video.ended;
    const other = button(runs ? "Pause" : "Play", { glyph: runs ? "pause" : "play", only: true });
    put(playing, [...other.childNodes]);
    playing.setAttribute("aria-label", runs ? "Pause" : "Play");
    playing.title = runs ? "Pause" : "Play";
  });
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(shown);
  else video.addEventListener("timeupdate", () => shown());

  function toggle() {
    if (video.paused || video.ended) video.play().catch(() => {}); else video.pause();
  }

  function step(by) {
    video.pause();
    const from = wanted ?? frame;
    seek(Math.min(last, Math.max(0, from + by)));
  }

  // To the frame that was typed; the field says which one that is, whatever was typed.
  function goTo() {
    const to = number.value === "" ? wanted ?? frame : Math.min(last, Math.max(0, Math.round(Number(number.value))));
    number.value = to;
    video.pause();
    seek(to);
  }

  function sound() {
    muting.setAttribute("aria-pressed", String(!video.muted));
  }

  function fullscreen() {
    if (document.fullscreenElement) document.exitFullscreen(); else element.requestFullscreen?.();
  }

  function keys(event) {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || target.matches("select, textarea, input:not([type=range])")) return;
    const onRange = target.matches("input[type=range]");
    const acts = {
      " ": () => { if (target.matches("button, a, summary")) return false; toggle(); return true; },
      k: () => { toggle(); return true; },
      ",": () => { step(-1); return true; }, ".": () => { step(1); return true; },
      ArrowLeft: () => { if (onRange) return false; step(event.shiftKey ? -Math.round(rate) : -1); return true; },
      ArrowRight: () => { if (onRange) return false; step(event.shiftKey ? Math.round(rate) : 1); return true; },
      f: () => { fullscreen(); return true; }, m: () => { muting.click(); return true; },
    };
    if ((acts[event.key] ?? acts[event.key.toLowerCase()])?.()) event.preventDefault();
  }
  document.addEventListener("keydown", keys);
  tell();
  draw();
  return {
    element,
    get place() { return { frame, seconds: mediaTime }; },
    pause() { video.pause(); },
    seek(to) { video.pause(); seek(to); },
    close() { closed = true; document.removeEventListener("keydown", keys); video.pause(); video.removeAttribute("src"); video.load(); },
  };
}
