// Problems in words, with what to do next.

import { Problem } from "/page/api.js";
import { button, h } from "/page/dom.js";

// What went wrong, and what there is to do.
export function trouble(problem, { again, more = [] } = {}) {
  const known = problem instanceof Problem;
  const detail = known
    ? [problem.detail, ...problem.errors.map((error) => error.detail).filter((text) => !problem.detail.includes(text))].join(" ")
    : "The page met something that it did not expect. Load it again; if it stays so, tell whoever runs the service.";
  if (!known) console.error(problem);
  return h("div", { class: "notice bad", role: "alert" },
    h("h2", {}, known ? problem.title : "Something went wrong in this page"),
    h("p", {}, detail),
    h("div", { class: "row" }, again ? button("Try again", { onclick: again }) : null, ...more, h("a", { class: "button", href: "#/" }, "All films")));
}

// Pictures that are no colored frames, since they have no color, and were not added.
export function gray(names) {
  const [which, color] = names.length === 1 ? [`${names[0]} has`, "it"] : [`${names.join(", ")} have`, "them"];
  return h("div", { class: "notice bad", role: "alert" },
    h("p", {}, `${which} no color: the service would learn only gray from ${color}. Color ${color} first, then add ${color}.`));
}
