// How many frames of a long shot are offered for coloring: another choice is another search (search.js waits for it).

import { send } from "/page/api.js";
import { h } from "/page/dom.js";
import * as drafts from "/page/drafts.js";

const DENSITIES = [[null, "One of each shot"], [10, "One every 10 seconds"], [5, "One every 5 seconds"], [3, "One every 3 seconds"]];
const MOST = 400; // Frames that a page of cards can show, and somebody may color.

// The choice; nothing where no shot is so long that any would offer more.
export function density(draft, record, onproblem) {
  const now = record.options.every_seconds ?? null;
  const seconds = record.video.duration_seconds / record.video.frames;
  const longest = seconds * Math.max(...record.keyframes.map((one) => one.last_frame - one.first_frame + 1));
  const isUseful = (every) => Math.round(longest / every) > 1 && record.video.duration_seconds / every <= MOST;
  const useful = DENSITIES.filter(([every]) => every === null || every === now || isUseful(every));
  if (useful.length === 1) return null;
  const select = h("select", { id: "density", onchange: async () => {
    const [every] = useful[select.selectedIndex];
    select.disabled = true;
    try {
      await searchAgain(draft, record, every);
      if (select.isConnected) dispatchEvent(new HashChangeEvent("hashchange")); // The view begins anew, and waits.
    } catch (problem) {
      select.selectedIndex = useful.findIndex(([one]) => one === now);
      select.disabled = false;
      onproblem(problem);
    }
  } }, useful.map(([, words]) => h("option", {}, words)));
  select.selectedIndex = useful.findIndex(([every]) => every === now);
  return h("div", { class: "row tight" }, h("label", { for: "density" }, "How many"), select);
}

async function searchAgain(draft, record, every) {
  const form = new FormData();
  const { shots, metadata } = record.options;
  form.append("video_of", draft.id);
  form.append("options", JSON.stringify({ shots, metadata, every_seconds: every }));
  const { id } = JSON.parse((await send("/v1/keyframes", { method: "POST", body: form })).responseText);
  await drafts.change(draft, () => { draft.next = id; });
}
