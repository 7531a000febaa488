// Coloring a frame right here: strokes of color are spread over it by the service, again after every stroke.

import { call, send, waitFor } from "/page/api.js";
import { button, chooser, confirm, h, put, say, show } from "/page/dom.js";
import { shapeOf } from "/page/shape.js";

const PALETTE = [
  ["Light skin", "#e0b197"], ["Tan skin", "#c08a63"], ["Dark skin", "#7a4b32"], ["Lips", "#b5534e"], ["Blond hair", "#c9a86a"],
  ["Brown hair", "#5d4030"], ["Red", "#a8322d"], ["Orange", "#c9742b"], ["Yellow", "#d2b04c"], ["Grass", "#7d9a4a"],
  ["Leaves", "#5f7f3a"], ["Water", "#3f7f7f"], ["Sky", "#8fb4d9"], ["Navy blue", "#2f4670"], ["Purple", "#6f4d86"],
  ["Pink", "#cf8fa0"], ["Wood", "#8a6240"], ["Brick", "#94533f"], ["Sand", "#cdb892"], ["Gray, no color", "#808080"],
];
const SOON = 350; // Milliseconds after a stroke, for the next one to come first.
const STEP = 0.01; // Of the picture's width, that an arrow key moves the brush.

// Opens over the page. `film`: the `video` of the record that the picture is of. `strokes`: from an earlier time.
// Resolves to { blob, strokes }, or null where it was closed.
export async function paint({ address, film, title, strokes = [] }) {
  const picture = await (await call(address)).blob();
  const image = await createImageBitmap(picture);
  return new Promise((resolve) => new Painter(picture, image, film, title, strokes, resolve));
}

class Painter {
  constructor(picture, image, film, title, strokes, done) {
    this.picture = picture;
    this.image = image;
    this.shape = shapeOf(image.width, image.height, film);
    this.width = image.height * this.shape; // In pixels as wide as high, of which brushes and distances are.
    this.done = done;
    this.strokes = structuredClone(strokes);
    this.undone = [];
    this.color = PALETTE[0][1];
    this.tool = "brush";
    this.size = Math.max(3, Math.round(this.width / 80));
    this.zoom = 1;
    this.current = null;
    this.cursor = [0.5, 0.5];
    this.colored = null; // { blob, of }: the last answer, and how many strokes it is of.
    this.version = 0;
    this.leaving = new AbortController();
    this.#build(title);
    this.#replay();
    if (this.strokes.length) this.#colorSoon();
  }

  // What is seen

  #build(title) {
    const { width, height } = this.image;
    this.base = h("canvas", { class: "layer", width, height, "aria-hidden": "true" });
    this.base.getContext("2d").drawImage(this.image, 0, 0);
    this.result = h("img", { class: "layer", alt: "" });
    show(this.result, false);
    this.paper = h("canvas", { class: "layer paper", width, height, tabindex: "0", role: "application", "aria-roledescription": "picture to paint on",
      "aria-label": `${title}. The arrow keys move the brush, space paints, shift with an arrow key draws.` });
    this.ink = this.paper.getContext("2d");
    this.ink.scale(width / this.width, 1);
    this.ring = h("span", { class: "ring", "aria-hidden": "true" });
    this.box = h("div", { class: "canvas-box" }, this.base, this.result, this.paper, this.ring);
    this.box.style.setProperty("--ratio", String(this.shape));
    this.state = h("p", { class: "muted small", role: "status" }, "Paint a few strokes of color; each fills what it lies in.");
    const swatches = h("div", { class: "swatches", role: "group", "aria-label": "Colors" }, PALETTE.map(([name, color]) => this.#swatch(name, color)));
    this.own = h("input", { type: "color", value: this.color, id: "own-color", oninput: () => this.#choose(this.own.value) });
    this.tools = ["brush", "eraser", "picker"].map((tool) => button({ brush: "Brush", eraser: "Eraser", picker: "Take a color from the picture" }[tool],
      { glyph: tool, only: true, "data-tool": tool, onclick: () => this.#take(tool) }));
    this.sizer = h("input", { type: "range", id: "brush-size", min: "1", max: String(Math.round(this.width / 8)), value: String(this.size), oninput: () => { this.size = Number(this.sizer.value); this.#moveRing(); } });
    this.undoing = button("Undo", { glyph: "undo", only: true, onclick: () => this.undo() });
    this.redoing = button("Redo", { glyph: "redo", only: true, onclick: () => this.redo() });
    this.seen = h("input", { type: "checkbox", checked: true, onchange: () => { this.paper.classList.toggle("unseen", !this.seen.checked); } });
    this.using = button("Use this frame", { kind: "main", disabled: true, onclick: () => this.#use() });
    const sample = h("div", { class: "sample" });
    this.dialog = h("dialog", { class: "paint", "aria-labelledby": "paint-title", onkeydown: (event) => this.#key(event), oncancel: (event) => { event.preventDefault(); this.#leave(); } },
      h("div", { class: "paint-bar" },
        h("h2", { id: "paint-title" }, title), h("span", { class: "gap" }), this.state,
        button("Close", { onclick: () => this.#leave() }), this.using),
      h("div", { class: "paint-tools" },
        h("div", { class: "row tight" }, this.tools, this.undoing, this.redoing),
        h("div", { class: "field" }, h("label", { for: "brush-size" }, "Brush"), this.sizer),
        swatches,
        h("div", { class: "row tight" }, h("label", { for: "own-color", class: "muted small" }, "Own color"), this.own),
        h("div", { class: "stack" }, chooser("Colors from a picture", { accept: "image/*", glyph: "picker", kind: "small", onfiles: ([file]) => this.#sample(file, sample) }), sample),
        h("label", { class: "row tight small" }, this.seen, h("span", {}, "Show the strokes")),
        h("div", { class: "row tight" }, button("−", { kind: "small", "aria-label": "Smaller", onclick: () => this.#zoomBy(1 / 1.5) }), button("+", { kind: "small", "aria-label": "Larger", onclick: () => this.#zoomBy(1.5) }))),
      h("div", { class: "paint-stage", tabindex: "-1" }, this.box));
    this.#pointers();
    this.#take("brush");
    this.#choose(this.color);
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.paper.focus();
  }

  #swatch(name, color) {
    const swatch = h("button", { type: "button", class: "swatch", title: name, "aria-label": name, "aria-pressed": "false", "data-color": color, onclick: () => this.#choose(color) });
    swatch.style.setProperty("--color", color);
    return swatch;
  }

  #choose(color) {
    this.color = color;
    this.own.value = color;
    if (this.tool === "eraser") this.#take("brush");
    for (const swatch of this.dialog?.querySelectorAll(".swatch") ?? []) swatch.setAttribute("aria-pressed", String(swatch.dataset.color === color));
    this.#moveRing();
  }

  #take(tool) {
    this.tool = tool;
    for (const one of this.tools) one.setAttribute("aria-pressed", String(one.dataset.tool === tool));
    this.paper.dataset.tool = tool;
  }

  #zoomBy(factor) {
    this.zoom = Math.min(8, Math.max(1, this.zoom * factor));
    this.box.style.setProperty("--zoom", String(this.zoom));
    this.#moveRing();
  }

  // A picture to take colors from, beside the frame.
  async #sample(file, place) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      put(place, h("p", { class: "field-problem" }, `${file.name} is no picture that this browser can show.`));
      return;
    }
    const canvas = h("canvas", { width: 320, height: Math.round((320 * bitmap.height) / bitmap.width), role: "img", "aria-label": `${file.name}: click a color to take it` });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    canvas.addEventListener("click", (event) => {
      const edge = canvas.getBoundingClientRect();
      this.#choose(colorAt(context, ((event.clientX - edge.left) / edge.width) * canvas.width, ((event.clientY - edge.top) / edge.height) * canvas.height));
      this.#take("brush");
    });
    put(place, canvas);
  }

  // Painting

  #pointers() {
    const at = (event) => {
      const edge = this.paper.getBoundingClientRect();
      return [(event.clientX - edge.left) / edge.width, (event.clientY - edge.top) / edge.height];
    };
    this.paper.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      this.paper.focus();
      const point = at(event);
      if (this.tool === "picker") { this.#pick(point); return; }
      this.paper.setPointerCapture(event.pointerId);
      this.#begin(point);
    });
    this.paper.addEventListener("pointermove", (event) => {
      this.cursor = at(event);
      this.#moveRing();
      if (this.current) for (const one of event.getCoalescedEvents?.() ?? [event]) this.#extend(at(one));
    });
    for (const name of ["pointerup", "pointercancel"]) this.paper.addEventListener(name, () => this.#end());
  }

  #begin([x, y]) {
    this.current = { color: this.color, size: this.size, erase: this.tool === "eraser", points: [[x, y]] };
    this.#drawSegment(this.current, 0);
  }

  #extend([x, y]) {
    const [lastX, lastY] = this.current.points.at(-1);
    if (Math.hypot((x - lastX) * this.width, (y - lastY) * this.image.height) < 1) return;
    this.current.points.push([x, y]);
    this.#drawSegment(this.current, this.current.points.length - 1);
  }

  #end() {
    if (!this.current) return;
    this.strokes.push(this.current);
    this.current = null;
    this.undone = [];
    this.#changed();
  }

  undo() {
    if (!this.strokes.length) return;
    this.undone.push(this.strokes.pop());
    this.#replay();
    this.#changed();
  }

  redo() {
    if (!this.undone.length) return;
    this.strokes.push(this.undone.pop());
    this.#replay();
    this.#changed();
  }

  #pick([x, y]) {
    const canvas = new OffscreenCanvas(1, 1);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const source = this.result.hidden ? this.image : this.result;
    context.drawImage(source, -Math.floor(x * this.image.width), -Math.floor(y * this.image.height));
    this.#choose(colorAt(context, 0, 0));
    this.#take("brush");
  }

  #replay() {
    this.ink.clearRect(0, 0, this.width, this.image.height);
    for (const stroke of this.strokes) stroke.points.forEach((_, index) => this.#drawSegment(stroke, index));
    this.undoing.disabled = !this.strokes.length;
    this.redoing.disabled = !this.undone.length;
  }

  #drawSegment(stroke, index) {
    const { width, image: { height } } = this;
    const [x, y] = stroke.points[index];
    const [fromX, fromY] = stroke.points[Math.max(0, index - 1)];
    this.ink.globalCompositeOperation = stroke.erase ? "destination-out" : "source-over";
    Object.assign(this.ink, { strokeStyle: stroke.color, lineWidth: stroke.size, lineCap: "round", lineJoin: "round" });
    this.ink.beginPath();
    this.ink.moveTo(fromX * width, fromY * height);
    // A line of no length has no round ends in every browser.
    this.ink.lineTo(x * width + (index ? 0 : 0.01), y * height);
    this.ink.stroke();
  }

  #moveRing() {
    const [x, y] = this.cursor;
    this.ring.style.setProperty("inset-inline-start", `${x * 100}%`);
    this.ring.style.setProperty("inset-block-start", `${y * 100}%`);
    this.ring.style.setProperty("inline-size", `${(100 * this.size) / this.width}%`);
    this.ring.style.setProperty("--color", this.tool === "eraser" ? "transparent" : this.color);
  }

  #key(event) {
    const typing = event.target.matches("input:not([type=range]):not([type=checkbox])");
    const command = event.ctrlKey || event.metaKey;
    if (command && event.key.toLowerCase() === "z") { event.preventDefault(); if (event.shiftKey) this.redo(); else this.undo(); return; }
    if (command && event.key.toLowerCase() === "y") { event.preventDefault(); this.redo(); return; }
    if (command || event.altKey || typing) return;
    const sized = { "[": 1 / 1.25, "]": 1.25 }[event.key];
    if (sized) {
      this.size = Math.min(Number(this.sizer.max), Math.max(1, Math.round(this.size * sized + (sized > 1 ? 0.5 : -0.5))));
      this.sizer.value = this.size;
      this.#moveRing();
      return;
    }
    const tool = { b: "brush", e: "eraser", i: "picker" }[event.key.toLowerCase()];
    if (tool) { this.#take(tool); return; }
    if (event.target !== this.paper) return;
    const move = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (move) {
      event.preventDefault();
      const from = this.cursor;
      this.cursor = [Math.min(1, Math.max(0, from[0] + move[0])), Math.min(1, Math.max(0, from[1] + move[1] * this.shape))];
      this.#moveRing();
      if (event.shiftKey) { this.#begin(from); this.#extend(this.cursor); this.#end(); }
    } else if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      if (this.tool === "picker") this.#pick(this.cursor);
      else { this.#begin(this.cursor); this.#end(); }
    }
  }

  // The service's part

  #changed() {
    this.version += 1;
    this.undoing.disabled = !this.strokes.length;
    this.redoing.disabled = !this.undone.length;
    this.using.disabled = true;
    this.#colorSoon();
  }

  #colorSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#color(), SOON);
  }

  // One at a time: what was painted meanwhile is sent when the answer is there.
  async #color() {
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.colored?.of !== this.version && !this.leaving.signal.aborted) {
        const version = this.version;
        const strokes = await this.#strokesFile();
        if (!strokes) {
          this.colored = { of: version, blob: null };
          show(this.result, false);
          say(this.state, "Paint a few strokes of color; each fills what it lies in.");
          break;
        }
        say(this.state, "Spreading the colors …");
        const blob = await this.#ask(strokes);
        this.colored = { of: version, blob };
        const before = this.result.src;
        this.result.src = URL.createObjectURL(blob);
        if (before) URL.revokeObjectURL(before);
        show(this.result, true);
      }
      if (this.colored?.blob) say(this.state, "In color. Paint more where it is not right.");
      this.using.disabled = !this.colored?.blob;
    } catch (problem) {
      if (problem.name !== "AbortError") say(this.state, `${problem.title ?? "It did not work"}. ${problem.message}`);
    } finally {
      this.busy = false;
    }
  }

  async #strokesFile() {
    const some = this.strokes.some((stroke) => !stroke.erase);
    return some ? new Promise((resolve) => this.paper.toBlob(resolve, "image/png")) : null;
  }

  async #ask(strokes) {
    const form = new FormData();
    form.append("picture", this.picture, "frame.png");
    form.append("strokes", strokes, "strokes.png");
    const answer = await send("/v1/colorings", { method: "POST", body: form, signal: this.leaving.signal });
    const address = `/v1/colorings/${JSON.parse(answer.responseText).id}`;
    try {
      const record = await waitFor(address, { signal: this.leaving.signal, onchange: (now) => { if (now.status === "queued") say(this.state, "Waiting for a worker: one that colors a film does this as soon as its part at hand is through …"); } });
      if (record.status !== "succeeded") throw Object.assign(new Error(record.error?.detail ?? "Paint another stroke to try again."), { title: record.error?.title ?? "It was canceled" });
      return await (await call(`${address}/content`, { signal: this.leaving.signal })).blob();
    } finally {
      call(address, { method: "DELETE" }).catch(() => {});
    }
  }

  // Leaving

  #use() {
    this.#close({ blob: this.colored.blob, strokes: this.strokes });
  }

  async #leave() {
    if (this.version && !(await confirm("Leave without using this frame?", { explain: "The strokes are not kept then.", action: "Leave without it", stay: "Go on painting" }))) return;
    this.#close(null);
  }

  #close(answer) {
    this.leaving.abort();
    clearTimeout(this.timer);
    if (this.result.src) URL.revokeObjectURL(this.result.src);
    this.dialog.close();
    this.dialog.remove();
    this.image.close();
    this.done(answer);
  }
}

function colorAt(context, x, y) {
  const [red, green, blue] = context.getImageData(Math.max(0, Math.floor(x)), Math.max(0, Math.floor(y)), 1, 1).data;
  return `#${[red, green, blue].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
