// A film whose frames to color are found: its shots, those frames, the colored ones, and the choices.

import { Submission, send } from "/page/api.js";
import { choicesForm } from "/page/choices.js";
import { button, chooser, h, link, put, say, show, tell } from "/page/dom.js";
import { density } from "/page/density.js";
import * as drafts from "/page/drafts.js";
import { dropping } from "/page/dropping.js";
import { EXAMPLE, UNKNOWN, at, freeName, isGray, isNamed, place, placeWithin, signature } from "/page/matching.js";
import { paint } from "/page/paint.js";
import { inShape } from "/page/shape.js";
import { gray, trouble } from "/page/trouble.js";
import { clock, facts, many } from "/page/words.js";

// `problem`: why there are no other ones, which were asked for (density.js).
export function prepare(main, draft, record, problem = null) {
  const offered = record.keyframes.map((keyframe) => ({ ...keyframe, still: `/v1/keyframes/${draft.id}/stills/${keyframe.frame}` }));
  const onlyOne = offered.length === 1;
  const shotCount = new Set(offered.map((one) => one.shot)).size;
  for (const one of offered) {
    let look = null;
    one.look = () => (look ??= fetch(one.still).then((answer) => answer.blob()).then(signature));
    const alone = offered.every((other) => other === one || other.shot !== one.shot);
    one.title = `Shot ${one.shot + 1}` + (alone ? "" : `, frame ${one.frame}`);
  }
  const poster = offered[Math.floor((offered.length - 1) / 2)]?.frame;
  // Only then: other tabs begin anew where something was saved.
  if (draft.poster !== poster) drafts.change(draft, () => { draft.poster = poster; });

  const problemPlace = h("div", {}, problem && trouble(problem));
  const submission = new Submission();
  const grid = h("ol", { class: "shots" });
  const tray = h("section", { class: "tray", "aria-label": "Colored frames whose place is not known yet" });
  const examples = h("section", { class: "tray", "aria-label": "Pictures that are no frames of the film" });
  const addButton = chooser("Add colored frames", { accept: "image/*,.tif,.tiff", multiple: true, kind: "main", onfiles: add });
  const counted = h("p", { class: "muted", role: "status" });
  const start = button("Start coloring", { kind: "main large", onclick: begin });
  const why = h("p", { class: "muted" });
  const choices = choicesForm(draft, (choices) => drafts.change(draft, () => { draft.choices = choices; }));
  const cards = offered.map(frameCard);

  put(main,
    h("div", { class: "head" }, h("div", {}, h("h1", {}, draft.title), h("p", { class: "muted" }, [facts(record.video), many(shotCount, "shot")].join(" · ")))),
    record.warnings.length ? h("div", { class: "notice" }, record.warnings.map((text) => h("p", {}, text))) : null,
    problemPlace,
    h("div", { class: "beside" },
      h("section", { class: "drop-all", "aria-labelledby": "shots-title" },
        h("div", { class: "row between" }, h("div", {}, h("h2", { id: "shots-title" }, onlyOne ? "The frame to color" : offered.length > shotCount ? "Frames to color" : "A frame to color from each shot"), counted),
          h("div", { class: "row" },
            density(draft, record, (problem) => put(problemPlace, trouble(problem))),
            onlyOne
              ? link("Download it", picture(offered[0]), { glyph: "download", download: offered[0].name })
              : link("Download all", `/v1/keyframes/${draft.id}/content`, { glyph: "download", download: `${draft.title}-frames.zip` }),
            addButton)),
        tray, examples, grid),
      h("aside", { class: "panel side", "aria-labelledby": "choices-title" }, h("h2", { id: "choices-title" }, "How"), choices.element, start, why)));
  put(grid, cards.map((card) => card.element));
  dropping(main.querySelector(".drop-all"), (files) => add(files), { wholePage: true });
  refresh();

  function picture(keyframe) {
    return `/v1/keyframes/${draft.id}/frames/${keyframe.frame}`;
  }

  // Among the frames offered of its shot, the one nearest to where a reference is known to belong.
  function cardOf({ shot, frame, near }) {
    const far = (one) => Math.abs(one.frame - (frame ?? near));
    return offered.filter((one) => one.shot === shot).reduce((best, one) => (best && far(best) <= far(one) ? best : one), undefined);
  }

  async function add(files, target = null) {
    put(problemPlace);
    const pictures = files.filter((file) => file.type.startsWith("image/") || /\.(tiff?|png|jpe?g|webp|bmp)$/i.test(file.name));
    if (pictures.length < files.length) tell(`${many(files.length - pictures.length, "file")} left out: only pictures can be colored frames.`);
    const without = [];
    const added = [];
    for (const file of pictures) {
      if (await isGray(file)) {
        without.push(file.name);
        continue;
      }
      const where = target ? await placeWithin(target, file, file.name) : await place(file, offered);
      added.push({ original: file.name, blob: file, ...where });
    }
    const replaced = [];
    await change(() => {
      for (const one of added) {
        // The same file again is a better version of it; elsewhere it may be another one of that name.
        replaced.push(...remove((other) => isOnFrame(other, one.frame) || (other.original === one.original && cardOf(other) === cardOf(one))));
        draft.references.push({ name: freeName(one.original, names()), ...one });
      }
    });
    if (without.length) {
      put(problemPlace, gray(without));
      problemPlace.scrollIntoView({ block: "center" });
    }
    if (added.length) tell(`${added.length === 1 ? "Added" : `${many(added.length, "frame")} added`}${inPlaceOf(replaced)}.`);
  }

  async function change(how) {
    await drafts.change(draft, how);
    refresh();
  }

  // Of two pictures of one frame, only one can color the film.
  function isOnFrame(reference, frame) {
    return frame !== null && reference.frame === frame;
  }

  // Take out of the draft those that are `unwanted`; returns them.
  function remove(unwanted) {
    const { true: gone = [], false: stay = [] } = Object.groupBy(draft.references, unwanted);
    draft.references = stay;
    return gone;
  }

  function names() {
    return draft.references.map((one) => one.name);
  }

  function inPlaceOf(replaced) {
    return replaced.length ? ` in place of ${replaced.map((one) => one.name).join(", ")}` : "";
  }

  // By strokes, in this page; going on with those of an earlier time.
  async function color(keyframe) {
    const before = draft.references.find((one) => one.frame === keyframe.frame && one.strokes);
    try {
      const made = await paint({ address: picture(keyframe), film: record.video, title: `Shot ${keyframe.shot + 1}, frame ${keyframe.frame}`, strokes: before?.strokes });
      if (!made) return;
      let replaced = [];
      await change(() => {
        replaced = remove((one) => isOnFrame(one, keyframe.frame));
        draft.references.push({ name: freeName(keyframe.name, names()), original: keyframe.name, blob: made.blob, strokes: made.strokes, ...at(keyframe) });
      });
      if (replaced.some((one) => !one.strokes)) tell(`Added${inPlaceOf(replaced)}.`);
    } catch (problem) {
      put(problemPlace, trouble(problem));
    }
  }

  function refresh() {
    const placedOn = Map.groupBy(draft.references, cardOf);
    cards.forEach((card) => card.update(placedOn.get(card.keyframe) ?? []));
    shelve(tray, draft.references.filter((one) => one.shot === null && !one.example), "Place not known yet",
      "The service looks through the whole film for them when it begins. You can also say where they belong.");
    shelve(examples, draft.references.filter((one) => one.example), "No frames of the film",
      "They color the shots that no colored frame looks like.");
    const done = new Set(draft.references.map((one) => one.shot).filter((shot) => shot !== null)).size;
    say(counted, draft.references.length ? `${done} of ${many(shotCount, "shot")} ${done === 1 || shotCount === 1 ? "has" : "have"} a colored frame` : onlyOne ? "Color it in any program, keep its name, and drop it back here." : "Color these in any program, keep their names, and drop them back here. A few are enough to begin.");
    start.disabled = draft.references.length === 0;
    say(why, draft.references.length === 0 ? "Add at least one colored frame first." : done < shotCount ? "Shots without a colored frame take their colors from the others." : "");
  }

  function shelve(section, references, title, explain) {
    show(section, references.length > 0);
    put(section, references.length ? [h("h3", {}, title), h("p", { class: "muted" }, explain), h("ul", { class: "refs" }, references.map(referenceItem))] : []);
  }

  function frameCard(keyframe) {
    const image = inShape(h("img", { src: keyframe.still, alt: `Shot ${keyframe.shot + 1}, frame ${keyframe.frame}`, loading: "lazy" }), record.video);
    const tag = h("span", { class: "tag" }, "colored");
    const frame = h("div", { class: "picture" }, image, tag);
    const list = h("ul", { class: "refs" });
    const element = h("li", { class: "shot", "aria-label": keyframe.title }, frame,
      h("div", { class: "shot-body" },
        h("p", { class: "shot-name" }, h("strong", {}, `Shot ${keyframe.shot + 1}`), h("span", { class: "muted" }, ` ${clock(keyframe.time_seconds)} · frame ${keyframe.frame}`)),
        list,
        h("div", { class: "row tight" },
          link("Download", picture(keyframe), { glyph: "download", kind: "small", download: keyframe.name, "aria-label": `Download the frame of ${keyframe.title.toLowerCase()}` }),
          chooser("Add", { accept: "image/*,.tif,.tiff", glyph: "plus", kind: "small", onfiles: (files) => add(files, keyframe) }),
          button("Color it here", { glyph: "brush", kind: "small", "aria-label": `Color it here: the frame of ${keyframe.title.toLowerCase()}`, onclick: () => color(keyframe) }))));
    element.querySelector("label input").setAttribute("aria-label", `Add a colored frame to ${keyframe.title.toLowerCase()}`);
    dropping(element, (files) => add(files, files.length === 1 ? keyframe : null));
    // Moving by hand: a colored frame is dragged from one card to another.
    element.addEventListener("dragover", (event) => { if (event.dataTransfer.types.includes("text/x-retint")) { event.preventDefault(); element.classList.add("over"); } });
    element.addEventListener("dragleave", () => element.classList.remove("over"));
    element.addEventListener("drop", (event) => {
      element.classList.remove("over");
      const name = event.dataTransfer.getData("text/x-retint");
      if (!name) return;
      event.preventDefault();
      event.stopPropagation();
      move(draft.references.find((one) => one.name === name), keyframe);
    });
    let shown = null;
    return { element, keyframe, update(mine) {
      element.classList.toggle("has", mine.length > 0);
      const blob = mine.findLast((one) => one.frame === keyframe.frame)?.blob ?? null;
      show(tag, blob !== null);
      if (blob !== shown) {
        if (shown) URL.revokeObjectURL(image.src);
        image.src = blob ? URL.createObjectURL(blob) : keyframe.still;
        image.onerror = () => { image.onerror = null; image.src = keyframe.still; }; // A kind of picture that browsers do not show.
        shown = blob;
      }
      put(list, mine.map(referenceItem));
    } };
  }

  async function move(reference, keyframe) {
    if (reference) await settle(reference, await placeWithin(keyframe, reference.blob, reference.original));
  }

  async function settle(reference, where) {
    let replaced = [];
    await change(() => {
      replaced = remove((one) => one.name !== reference.name && isOnFrame(one, where.frame));
      Object.assign(draft.references.find((one) => one.name === reference.name) ?? {}, where);
    });
    if (replaced.length) tell(`Put${inPlaceOf(replaced)}.`);
  }

  function referenceItem(reference) {
    const own = cardOf(reference);
    const named = own && isNamed(own, reference.original);
    // Where only the looks say which shot it is of, the service looks for it in the whole film.
    const known = reference.chosen || reference.frame !== null;
    const places = [
      ["Let it be found", () => settle(reference, UNKNOWN)],
      ...offered.map((one) => [one.title, () => move(reference, one)]),
      ["No frame of the film", () => settle(reference, EXAMPLE)],
    ];
    const select = choice(`Where ${reference.name} belongs`, places.map(([words]) => words),
      reference.example ? places.length - 1 : known ? offered.indexOf(own) + 1 : 0, (chosen) => places[chosen][1]());
    const frames = [["Somewhere in it", null], ["The frame shown", own?.frame]];
    const { frame } = reference;
    if (own && frame !== null && frame !== own.frame) frames.push([`Frame ${frame}`, frame]);
    const within = own && !named && (known || onlyOne)
      ? choice(`Which frame ${reference.name} is`, frames.map(([words]) => words), frames.findIndex(([, one]) => one === frame),
        (chosen) => settle(reference, { chosen: true, frame: frames[chosen][1] }))
      : null;
    return h("li", { class: "ref", draggable: "true", ondragstart: (event) => event.dataTransfer.setData("text/x-retint", reference.name) },
      frame === own?.frame ? null : small(reference.blob),
      h("span", { class: "ref-name", title: reference.name }, reference.name),
      button(`Remove ${reference.name}`, { glyph: "close", only: true, kind: "quiet small", onclick: () => change(() => remove((one) => one.name === reference.name)) }),
      h("div", { class: "ref-place" }, !onlyOne || !named ? select : null, within));
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
    const { first_frame, last_frame } = offered.find((one) => one.shot === shot);
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
      await drafts.change(draft, () => Object.assign(draft, { job: JSON.parse(answer.responseText).id, started: true }));
      location.hash = `#/job/${draft.job}`;
    } catch (problem) {
      put(problemPlace, trouble(problem));
      problemPlace.scrollIntoView({ block: "center" });
      refresh();
    }
  }
}
