// A film before it is colored: its shots, the frames worth coloring, the colored ones, and the choices.

import { Submission, ended, get, isGone, send, waitFor } from "/page/api.js";
import { button, chooser, h, link, put, say, show, tell } from "/page/dom.js";
import * as drafts from "/page/drafts.js";
import { dropping } from "/page/dropping.js";
import { EXAMPLE, UNKNOWN, isGray, isNamed, place, placeWithin, signature } from "/page/matching.js";
import { paint } from "/page/paint.js";
import { inShape } from "/page/shape.js";
import { gray, trouble } from "/page/trouble.js";
import { clock, facts, left, many, phase, titleOf } from "/page/words.js";

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

export async function film(main, id) {
  const leaving = new AbortController();
  const draft = (await drafts.load(id)) ?? { id, title: "", created: Date.now(), references: [], choices: {} };
  let record;
  try {
    record = await get(`/v1/keyframes/${id}`);
  } catch (problem) {
    if (isGone(problem)) await drafts.remove(id); // It has expired, or was deleted elsewhere.
    throw problem;
  }
  draft.title ||= titleOf(record);
  document.title = `${draft.title} · retint`;
  if (ended(record)) present(record);
  else waiting();
  return { close() { leaving.abort(); } };

  function present(found) {
    if (found.status === "succeeded") prepare(main, draft, found);
    else put(main, failed(found));
  }

  async function waiting() {
    const bar = h("progress", { max: 1, "aria-label": "How far the search is" });
    const figures = h("p", { class: "figures" });
    put(main, h("section", { class: "panel narrow" }, h("h1", {}, draft.title),
      h("p", { class: "muted" }, "The film is here. Now its shots are found, and in each the frame that is best to color."),
      bar, figures));
    try {
      const found = await waitFor(`/v1/keyframes/${id}`, { signal: leaving.signal, onchange: (now) => {
        bar.value = now.progress.fraction;
        const waits = now.status === "queued" ? "Waiting for its turn" + (now.queue_position ? `: ${many(now.queue_position, "film")} before it` : "") : phase(now.phase);
        say(figures, [waits, now.status === "processing" ? left(now.progress.eta_seconds) : ""].filter(Boolean).join(" · "));
      } });
      present(found);
    } catch (problem) {
      if (problem.name !== "AbortError") put(main, trouble(problem));
    }
  }

  function failed(found) {
    const error = found.error ?? { title: "The search was canceled", detail: "Send the film again to begin anew." };
    return h("div", { class: "notice bad", role: "alert" }, h("h1", {}, error.title), h("p", {}, error.detail),
      h("div", { class: "row" }, h("a", { class: "button main", href: "#/" }, "Choose another film")));
  }
}

function prepare(main, draft, record) {
  const shots = record.keyframes.map((keyframe) => ({ ...keyframe, still: `/v1/keyframes/${draft.id}/stills/${keyframe.frame}` }));
  for (const shot of shots) {
    let look = null;
    shot.look = () => (look ??= fetch(shot.still).then((answer) => answer.blob()).then(signature));
  }
  draft.poster = shots[Math.floor((shots.length - 1) / 2)]?.frame;
  const keep = () => drafts.save(draft);
  keep();

  const problemPlace = h("div", {});
  const submission = new Submission();
  const grid = h("ol", { class: "shots" });
  const tray = h("section", { class: "tray", "aria-label": "Colored frames whose place is not known yet" });
  const examples = h("section", { class: "tray", "aria-label": "Pictures that are no frames of the film" });
  const addButton = chooser("Add colored frames", { accept: "image/*,.tif,.tiff", multiple: true, kind: "main", onfiles: add });
  const counted = h("p", { class: "muted", role: "status" });
  const start = button("Start coloring", { kind: "main large", onclick: begin });
  const why = h("p", { class: "muted" });
  const choices = choicesForm(draft, keep);
  const cards = shots.map((shot) => shotCard(shot));

  put(main,
    h("div", { class: "head" }, h("div", {}, h("h1", {}, draft.title), h("p", { class: "muted" }, [facts(record.video), many(shots.length, "shot")].join(" · ")))),
    record.warnings.length ? h("div", { class: "notice" }, record.warnings.map((text) => h("p", {}, text))) : null,
    problemPlace,
    h("div", { class: "beside" },
      h("section", { class: "drop-all", "aria-labelledby": "shots-title" },
        h("div", { class: "row between" }, h("div", {}, h("h2", { id: "shots-title" }, shots.length === 1 ? "The frame to color" : "A frame to color from each shot"), counted),
          h("div", { class: "row" }, link(shots.length === 1 ? "Download it" : "Download all", shots.length === 1 ? picture(shots[0]) : `/v1/keyframes/${draft.id}/content`, { glyph: "download", download: shots.length === 1 ? shots[0].name : `${draft.title}-frames.zip` }), addButton)),
        tray, examples, grid),
      h("aside", { class: "panel side", "aria-labelledby": "choices-title" }, h("h2", { id: "choices-title" }, "How"), choices.element, start, why)));
  put(grid, cards.map((card) => card.element));
  dropping(main.querySelector(".drop-all"), (files) => add(files), { wholePage: true });
  refresh();

  function picture(shot) {
    return `/v1/keyframes/${draft.id}/frames/${shot.frame}`;
  }

  async function add(files, target = null) {
    put(problemPlace);
    const pictures = files.filter((file) => file.type.startsWith("image/") || /\.(tiff?|png|jpe?g|webp|bmp)$/i.test(file.name));
    if (pictures.length < files.length) tell(`${many(files.length - pictures.length, "file")} left out: only pictures can be colored frames.`);
    const without = [];
    for (const file of pictures) {
      if (await isGray(file)) {
        without.push(file.name);
        continue;
      }
      const where = target ? await placeWithin(target, file, file.name) : await place(file, shots);
      // The same file again is a better version of it.
      const before = draft.references.find((one) => one.original === file.name && one.shot === where.shot);
      if (before) draft.references.splice(draft.references.indexOf(before), 1);
      draft.references.push({ name: freeName(file.name), original: file.name, blob: file, ...where });
    }
    await keep();
    refresh();
    if (without.length) {
      put(problemPlace, gray(without));
      problemPlace.scrollIntoView({ block: "center" });
    }
    const added = pictures.length - without.length;
    if (added) tell(added === 1 ? "Added." : `${many(added, "frame")} added.`);
  }

  // By strokes, in this page; going on with those of an earlier time.
  async function color(shot) {
    const before = draft.references.find((one) => one.shot === shot.shot && one.strokes);
    try {
      const made = await paint({ address: picture(shot), film: record.video, title: `Shot ${shot.shot + 1}, frame ${shot.frame}`, strokes: before?.strokes });
      if (!made) return;
      if (before) draft.references.splice(draft.references.indexOf(before), 1);
      draft.references.push({ name: freeName(shot.name), original: shot.name, blob: made.blob, strokes: made.strokes, shot: shot.shot, frame: shot.frame });
      await keep();
      refresh();
    } catch (problem) {
      put(problemPlace, trouble(problem));
    }
  }

  function freeName(name) {
    const taken = new Set(draft.references.map((one) => one.name));
    const [, stem, suffix] = /^(.*?)(\.[^.]*)?$/.exec(name);
    let free = name;
    for (let number = 2; taken.has(free); number++) free = `${stem}-${number}${suffix ?? ""}`;
    return free;
  }

  function refresh() {
    cards.forEach((card) => card.update());
    shelve(tray, draft.references.filter((one) => one.shot === null && !one.example), "Place not known yet",
      "The service looks through the whole film for them when it begins. You can also say where they belong.");
    shelve(examples, draft.references.filter((one) => one.example), "No frames of the film",
      "They color the shots that no colored frame looks like.");
    const done = new Set(draft.references.map((one) => one.shot).filter((shot) => shot !== null)).size;
    say(counted, draft.references.length ? `${done} of ${many(shots.length, "shot")} ${done === 1 ? "has" : "have"} a colored frame` : shots.length === 1 ? "Color it in any program, keep its name, and drop it back here." : "Color these in any program, keep their names, and drop them back here. A few are enough to begin.");
    start.disabled = draft.references.length === 0;
    say(why, draft.references.length === 0 ? "Add at least one colored frame first." : done < shots.length && shots.length > 1 ? "Shots without a colored frame take their colors from the others." : "");
  }

  function shelve(section, references, title, explain) {
    show(section, references.length > 0);
    put(section, references.length ? [h("h3", {}, title), h("p", { class: "muted" }, explain), h("ul", { class: "refs" }, references.map(referenceItem))] : []);
  }

  function shotCard(shot) {
    const image = inShape(h("img", { src: shot.still, alt: `Shot ${shot.shot + 1}, frame ${shot.frame}`, loading: "lazy" }), record.video);
    const tag = h("span", { class: "tag" }, "colored");
    const frame = h("div", { class: "picture" }, image, tag);
    const list = h("ul", { class: "refs" });
    const element = h("li", { class: "shot", "aria-label": `Shot ${shot.shot + 1}` }, frame,
      h("div", { class: "shot-body" },
        h("p", { class: "shot-name" }, h("strong", {}, `Shot ${shot.shot + 1}`), h("span", { class: "muted" }, ` ${clock(shot.time_seconds)} · frame ${shot.frame}`)),
        list,
        h("div", { class: "row tight" },
          link("Download", picture(shot), { glyph: "download", kind: "small", download: shot.name, "aria-label": `Download the frame of shot ${shot.shot + 1}` }),
          chooser("Add", { accept: "image/*,.tif,.tiff", glyph: "plus", kind: "small", onfiles: (files) => add(files, shot) }),
          button("Color it here", { glyph: "brush", kind: "small", "aria-label": `Color it here: the frame of shot ${shot.shot + 1}`, onclick: () => color(shot) }))));
    element.querySelector("label input").setAttribute("aria-label", `Add a colored frame to shot ${shot.shot + 1}`);
    dropping(element, (files) => add(files, files.length === 1 ? shot : null));
    // Moving by hand: a colored frame is dragged from its shot to another.
    element.addEventListener("dragover", (event) => { if (event.dataTransfer.types.includes("text/x-retint")) { event.preventDefault(); element.classList.add("over"); } });
    element.addEventListener("dragleave", () => element.classList.remove("over"));
    element.addEventListener("drop", (event) => {
      element.classList.remove("over");
      const name = event.dataTransfer.getData("text/x-retint");
      if (!name) return;
      event.preventDefault();
      event.stopPropagation();
      move(draft.references.find((one) => one.name === name), shot);
    });
    let shown = null;
    return { element, update() {
      const mine = draft.references.filter((one) => one.shot === shot.shot);
      element.classList.toggle("has", mine.length > 0);
      const blob = mine.findLast((one) => one.frame === shot.frame)?.blob ?? null;
      show(tag, blob !== null);
      if (blob !== shown) {
        if (shown) URL.revokeObjectURL(image.src);
        image.src = blob ? URL.createObjectURL(blob) : shot.still;
        image.onerror = () => { image.onerror = null; image.src = shot.still; }; // A kind of picture that browsers do not show.
        shown = blob;
      }
      put(list, mine.map(referenceItem));
    } };
  }

  async function move(reference, shot) {
    if (reference) await settle(reference, await placeWithin(shot, reference.blob, reference.original));
  }

  async function settle(reference, where) {
    Object.assign(reference, where);
    await keep();
    refresh();
  }

  function referenceItem(reference) {
    const own = shots.find((shot) => shot.shot === reference.shot);
    const named = own && isNamed(own, reference.original);
    // Where only the looks say which shot it is of, the service looks for it in the whole film.
    const known = reference.chosen || reference.frame !== null;
    const places = [
      ["Let it be found", () => settle(reference, UNKNOWN)],
      ...shots.map((shot) => [`Shot ${shot.shot + 1}`, () => move(reference, shot)]),
      ["No frame of the film", () => settle(reference, EXAMPLE)],
    ];
    const select = choice(`Where ${reference.name} belongs`, places.map(([words]) => words),
      reference.example ? places.length - 1 : known ? shots.indexOf(own) + 1 : 0, (chosen) => places[chosen][1]());
    const within = own && !named && (known || shots.length === 1)
      ? choice(`Which frame ${reference.name} is`, ["Somewhere in it", "The frame shown"], Number(reference.frame !== null),
        (chosen) => settle(reference, { chosen: true, frame: chosen ? own.frame : null }))
      : null;
    return h("li", { class: "ref", draggable: "true", ondragstart: (event) => event.dataTransfer.setData("text/x-retint", reference.name) },
      reference.frame === null ? small(reference.blob) : null,
      h("span", { class: "ref-name", title: reference.name }, reference.name),
      button(`Remove ${reference.name}`, { glyph: "close", only: true, kind: "quiet small", onclick: async () => {
        draft.references.splice(draft.references.indexOf(reference), 1);
        await keep();
        refresh();
      } }),
      h("div", { class: "ref-place" }, shots.length > 1 || !named ? select : null, within));
  }

  // A picture that no card shows.
  function small(blob) {
    const image = h("img", { class: "ref-picture", src: URL.createObjectURL(blob), alt: "", draggable: "false",
      onload: () => URL.revokeObjectURL(image.src),
      onerror: () => { URL.revokeObjectURL(image.src); image.remove(); } }); // A kind of picture that browsers do not show.
    return inShape(image, record.video);
  }

  // One of `words`, of which `chosen` is.
  function choice(label, words, chosen, onchoice) {
    const select = h("select", { "aria-label": label, onchange: async () => {
      await onchoice(select.selectedIndex);
      // It stands elsewhere now, drawn anew; who chooses by keyboard goes on from there.
      [...main.querySelectorAll("select")].find((other) => other.ariaLabel === label)?.focus();
    } }, words.map((text) => h("option", {}, text)));
    select.selectedIndex = chosen;
    return select;
  }

  // As the service is told where a reference belongs; nothing where it is to find out.
  function placed({ name, shot, frame, chosen, example }) {
    if (example) return [{ name, is_frame: false }];
    if (frame !== null) return [{ name, frame }];
    if (!chosen) return [];
    const { first_frame, last_frame } = shots.find((one) => one.shot === shot);
    return [{ name, within: [first_frame, last_frame] }];
  }

  async function begin() {
    const form = new FormData();
    const options = {
      ...choices.options(),
      references: draft.references.flatMap(placed),
      metadata: { title: draft.title, keyframes: draft.id, ...(draft.poster !== undefined && { poster: String(draft.poster) }) },
    };
    form.append("video_of", draft.id);
    form.append("options", JSON.stringify(options));
    for (const one of draft.references) form.append("references", one.blob, one.name);
    const key = submission.nameFor(JSON.stringify(options), ...draft.references.flatMap((one) => [one.name, one.blob]));
    start.disabled = true;
    put(problemPlace);
    try {
      const answer = await send("/v1/jobs", { method: "POST", body: form, headers: { "Idempotency-Key": key },
        onprogress: (sent, total) => say(why, `Sending the colored frames: ${Math.floor((100 * sent) / total)} %`) });
      draft.started = JSON.parse(answer.responseText).id;
      await keep();
      location.hash = `#/job/${draft.started}`;
    } catch (problem) {
      put(problemPlace, trouble(problem));
      problemPlace.scrollIntoView({ block: "center" });
      refresh();
    }
  }
}

function choicesForm(draft, keep) {
  const chosen = { tuning: "quality", output: "mp4", quality: "18", model: "retint", ...draft.choices };
  const set = (name, value) => { chosen[name] = value; draft.choices = chosen; quality.hidden = !["mp4", "mkv"].includes(chosen.output); keep(); };
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
