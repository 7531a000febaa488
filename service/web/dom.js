// Makes elements. Text is always text: nothing here, or in what uses it, ever becomes markup.

const SVG = "http://www.w3.org/2000/svg";

export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked" || key === "selected") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Put `children` in place of what `element` holds.
export function put(element, ...children) {
  element.replaceChildren(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Set text, or an attribute, only where it differs: a screen reader speaks what changes.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, visible) {
  element.hidden = !visible;
}

const PATHS = {
  upload: "M12 16V4m0 0L7 9m5-5 5 5M4 17v3h16v-3",
  download: "M12 4v12m0 0 5-5m-5 5-5-5M4 17v3h16v-3",
  brush: "M14.5 4.5 19.5 9.500 11 18l-5-5zM6 13c-2 .5-2 3-3.500 6 3 .3 6-.5 7-2.500",
  close: "M6 6l12 12M18 6 6 18",
  play: "M8 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
  previous: "M18 5 8 12l10 7zM6 5v14",
  next: "M6 5l10 7-10 7zM18 5v14",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  sound: "M4 9v6h4l5 4V5L8 9zM16 9a4 4 0 0 1 0 6",
  mute: "M4 9v6h4l5 4V5L8 9zM16 9.500l5 5m0-5-5 5",
  undo: "M8 6 4 10l4 4M4 10h10a5 5 0 0 1 0 10h-3",
  redo: "M16 6l4 4-4 4M20 10H10a5 5 0 0 0 0 10h3",
  picker: "M13 6l5 5M4 20l1-4 9-9 3 3-9 9zM15 5a2.500 2.500 0 0 1 4 4",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9.500h4M4 14.500h4M16 9.500h4M16 14.500h4",
  plus: "M12 5v14M5 12h14",
  back: "M15 5l-7 7 7 7",
  eraser: "M8 19h12M4 15 14 5l6 6-8 8H8z",
  check: "M5 12.500 10 17.500 19 7",
};

export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}

// A button that says what it does; with `only`, by its picture, and to those who hear the page by its words.
export function button(words, { glyph, only = false, kind = "", ...attributes } = {}) {
  const inside = [glyph ? icon(glyph) : null, only ? null : h("span", {}, words)];
  const named = only ? { "aria-label": words, title: words } : {};
  return h("button", { type: "button", class: `button ${kind} ${only ? "only" : ""}`.trim(), ...named, ...attributes }, inside);
}

// A link that looks like a button.
export function link(words, href, { glyph, kind = "", ...attributes } = {}) {
  return h("a", { href, class: `button ${kind}`.trim(), ...attributes }, glyph ? icon(glyph) : null, h("span", {}, words));
}

// A real file input under a label, so that keyboards and screen readers find it.
export function chooser(words, { accept, multiple = false, glyph = "upload", kind = "", onfiles }) {
  const input = h("input", {
    type: "file", class: "away", accept, multiple,
    onchange: () => {
      const files = [...input.files];
      input.value = "";
      if (files.length) onfiles(files);
    },
  });
  return h("label", { class: `button ${kind}`.trim() }, icon(glyph), h("span", {}, words), input);
}

let messages = 0;

// A word in passing, at the foot of the page.
export function tell(words) {
  const note = h("p", { class: "message" }, words);
  document.getElementById("messages").append(note);
  messages += 1;
  setTimeout(() => note.remove(), 6000);
}

// Asks before something that cannot be taken back. Resolves to whether it shall be done; `stay` are the words for not doing it.
export function confirm(question, { explain = "", action, stay = "Keep" }) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "ask", "aria-labelledby": "ask-title" },
      h("h2", { id: "ask-title" }, question),
      explain ? h("p", {}, explain) : null,
      h("div", { class: "row end" },
        button(stay, { onclick: () => dialog.close("") }),
        button(action, { kind: "danger", onclick: () => dialog.close("yes") })));
    dialog.addEventListener("close", () => { resolve(dialog.returnValue === "yes"); dialog.remove(); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
