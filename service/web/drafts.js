// What was prepared and not started yet, in this browser: which film, and the colored frames that go with it.

import { call } from "/page/api.js";
import { at, freeName } from "/page/matching.js";

const NAME = "retint";
const STORE = "drafts";
let opened = null;
const memory = new Map(); // What the browser did not keep.

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function ask(mode, what) {
  const store = (await database()).transaction(STORE, mode).objectStore(STORE);
  return new Promise((resolve, reject) => {
    const request = what(store);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// draft: { id (of the keyframes), title, created, references: [{ name, blob, and where it belongs, as in matching.js }],
// choices, error (why its shots could not be found), started (whether it is with a job now), job (the last one that was
// started from it), next (a search that looks through the film again), saves (how often it was saved, by any tab) }
export async function save(draft) {
  draft.saves = (draft.saves ?? 0) + 1;
  try {
    await ask("readwrite", (store) => store.put(draft));
    memory.delete(draft.id);
  } catch {
    memory.set(draft.id, draft);
  }
}

export async function load(id) {
  return memory.get(id) ?? (await ask("readonly", (store) => store.get(id)).catch(() => undefined));
}

// What another tab has saved of `draft` meanwhile, or nothing.
async function newer(draft) {
  const kept = await load(draft.id);
  return (kept?.saves ?? 0) > (draft.saves ?? 0) ? kept : null;
}

// Change `draft` on top of what another tab has saved of it meanwhile.
export async function change(draft, how) {
  Object.assign(draft, await newer(draft));
  how();
  await save(draft);
}

// Calls `onchange` where the tab is turned to again and another one has saved the draft meanwhile.
export function watch(draft, onchange, signal) {
  const look = async () => {
    if (document.visibilityState === "visible" && (await newer(draft)) && !signal.aborted) onchange();
  };
  document.addEventListener("visibilitychange", look, { signal });
  addEventListener("focus", look, { signal }); // Of two windows, both may be visible.
}

export async function all() {
  const kept = await ask("readonly", (store) => store.getAll()).catch(() => []);
  const found = new Map(kept.map((draft) => [draft.id, draft]));
  for (const [id, draft] of memory) found.set(id, draft);
  return [...found.values()].sort((one, two) => two.created - one.created);
}

// Whether the colored frames that go with search `id` are in this browser, and the service still has its frames, which expire.
export async function isThere(id) {
  return Boolean(await load(id)) && call(`/v1/keyframes/${id}`).then(() => true, () => false);
}

// It was started, and is to be started once more.
export async function reopen(id) {
  const draft = await load(id);
  if (draft) await save({ ...draft, started: undefined });
}

// A job that goes on from one of draft `id` was given one more colored frame, of frame `frame` in shot `shot`.
export async function addFrame(id, { name, shot, frame, ...made }) {
  const draft = await load(id);
  if (!draft) return;
  const others = draft.references.filter((one) => one.frame !== frame);
  const added = { ...made, name: freeName(name, others.map((one) => one.name)), original: name, ...at({ shot, frame }) };
  await save({ ...draft, references: [...others, added] });
}

// The search `next` has succeeded: the draft goes on as that one's. What a job was started from stays as it was, for who
// comes from that job. Returns the id of the earlier search where nothing needs it any more.
export async function goOn(draft) {
  const before = { ...draft, references: draft.references.map((one) => ({ ...one })), started: true, next: undefined };
  Object.assign(draft, { id: draft.next, job: undefined, next: undefined, poster: undefined });
  await save(draft);
  if (before.job) await save(before);
  else await remove(before.id);
  return before.job ? null : before.id;
}

export async function remove(id) {
  memory.delete(id);
  await ask("readwrite", (store) => store.delete(id)).catch(() => {});
}
