// Which view is shown, and what stands around all of them: theme, key, problems.

import { Problem, call, isGone, onKeyWanted } from "/page/api.js";
import { button, h, put } from "/page/dom.js";
import { dropAnywhere } from "/page/dropping.js";
import { home } from "/page/home.js";
import { job } from "/page/job.js";
import { film } from "/page/search.js";
import { sending } from "/page/sending.js";
import { trouble } from "/page/trouble.js";

const main = document.getElementById("main");
let view = null;

// A view is a function of `main` and an id; it returns { close } or nothing.
const ROUTES = [
  [/^$/, home, "retint"],
  [/^new$/, sending, "Sending a film"],
  [/^film\/([\w-]+)$/, film, "Frames to color"],
  [/^job\/([\w-]+)$/, job, "Film"],
];

async function go() {
  view?.close?.();
  view = null;
  document.documentElement.classList.remove("watching");
  const path = location.hash.replace(/^#\/?/, "");
  for (const [pattern, open, title] of ROUTES) {
    const found = pattern.exec(path);
    if (!found) continue;
    document.title = title === "retint" ? title : `${title} · retint`;
    put(main);
    try {
      const opened = await open(main, found[1]);
      if (location.hash.replace(/^#\/?/, "") === path) view = opened;
      else opened?.close?.();
    } catch (problem) {
      put(main, trouble(problem, isGone(problem) ? {} : { again: go }));
    }
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
    return;
  }
  put(main, trouble(new Problem({ title: "Nothing is here", detail: "The address leads to no film. Your films are on the first page." })));
}

// The key, where one is asked for: shown once, kept by the browser in a cookie that no script can read.
let asking = null;
onKeyWanted(() => {
  if (asking) return;
  const field = h("input", { type: "password", id: "key", autocomplete: "current-password", required: true, spellcheck: "false" });
  const wrong = h("p", { class: "field-problem", role: "alert" });
  const form = h("form", { class: "stack", onsubmit: async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    try {
      await open(field.value.trim());
    } catch (problem) {
      wrong.textContent = problem.status === 401 ? "The service does not know this key. It may be misspelt, or it was taken back." : problem.message;
      field.select();
      return;
    }
    asking.close();
    asking.remove();
    asking = null;
    signedIn(true);
    go();
  } },
    h("h2", { id: "key-title" }, "Your key, please"),
    h("p", {}, "This service is for those who have a key. Whoever runs it can give you one; it begins with ", h("code", {}, "retint_"), "."),
    h("label", { for: "key" }, "Key"), field, wrong,
    h("div", { class: "row end" }, h("button", { class: "button main", type: "submit" }, "Open")));
  asking = h("dialog", { class: "ask", "aria-labelledby": "key-title", oncancel: (event) => event.preventDefault() }, form);
  document.body.append(asking);
  asking.showModal();
});

async function open(key) {
  const answer = await fetch("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${encodeURI(key)}` } });
  if (answer.status === 401) throw new Problem({ title: "", detail: "", status: 401 });
  if (!answer.ok) throw new Problem(await answer.json());
}

function signedIn(keys) {
  put(document.getElementById("bar-key"), keys ? button("Forget my key", { kind: "quiet", onclick: async () => {
    await call("/v1/session", { method: "DELETE" });
    location.hash = "#/";
    location.reload();
  } }) : null);
}

function theme() {
  const chooser = document.getElementById("theme");
  const use = (name) => {
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
  };
  try { chooser.value = localStorage.getItem("retint.theme") ?? ""; } catch { /* Not kept then. */ }
  use(chooser.value);
  chooser.addEventListener("change", () => {
    use(chooser.value);
    try { localStorage.setItem("retint.theme", chooser.value); } catch { /* Not kept then. */ }
  });
}

dropAnywhere();
theme();
addEventListener("hashchange", go);
call("/v1/session").then((answer) => answer.json()).then(({ keys }) => { signedIn(keys); go(); }, (problem) => {
  if (problem.status !== 401) put(main, trouble(problem, { again: () => location.reload() }));
});
