// How a film is to be colored: care, file, quality, model.

import { get } from "/page/api.js";
import { h, put } from "/page/dom.js";

const OUTPUTS = [
  ["mp4", "MP4, plays everywhere", { container: "mp4" }],
  ["mkv", "MKV", { container: "mkv" }],
  ["ffv1", "MKV, lossless (FFV1), large", { container: "mkv", codec: "ffv1" }],
  ["prores", "MOV, ProRes, for editing", { container: "mov" }],
];
const QUALITIES = [["18", "Visually lossless"], ["23", "Smaller file"], ["0", "Lossless, large"]];
const TUNINGS = [
  ["quality", "Best", "Learns your colors thoroughly before it begins."],
  ["fast", "Quick", "Learns for a moment; good for a first look."],
  ["off", "None", "Colors at once."],
];

// `keep` is given what was chosen, as `draft.choices` holds it. { element, options: () => what a job takes }
export function choicesForm(draft, keep) {
  const chosen = { tuning: "quality", output: "mp4", quality: "18", model: "retint", ...draft.choices };
  const set = (name, value) => { chosen[name] = value; quality.hidden = !["mp4", "mkv"].includes(chosen.output); keep(chosen); };
  const select = (name, words, entries) => {
    const field = h("select", { id: `choice-${name}`, onchange: () => set(name, field.value) }, entries.map(([value, text]) => h("option", { value }, text)));
    field.value = chosen[name];
    return h("div", { class: "field" }, h("label", { for: `choice-${name}` }, words), field);
  };
  const quality = select("quality", "Quality", QUALITIES);
  quality.hidden = !["mp4", "mkv"].includes(chosen.output);
  const model = h("div", {});
  get("/v1/models").then(({ data }) => {
    const usable = data.filter((one) => one.weights_present);
    if (usable.length > 1) put(model, select("model", "Model", usable.map((one) => [one.name, one.title])));
  }, () => {});
  const element = h("div", { class: "stack" },
    h("fieldset", { class: "stack" }, h("legend", {}, "Care with the colors"),
      TUNINGS.map(([value, words, explain]) => h("label", { class: "option" },
        h("input", { type: "radio", name: "tuning", value, checked: chosen.tuning === value, onchange: () => set("tuning", value) }),
        h("span", {}, h("strong", {}, words), h("span", { class: "muted" }, explain))))),
    select("output", "File", OUTPUTS), quality, model);
  return { element, options() {
    const output = { ...OUTPUTS.find(([name]) => name === chosen.output)[2] };
    if (!quality.hidden) output.quality = Number(chosen.quality);
    return { tuning: chosen.tuning, model: chosen.model, output };
  } };
}
