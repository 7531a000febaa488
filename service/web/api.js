// Calls to the service. A session's cookie goes with each by itself; the header says that this page made it.

const FROM_PAGE = { "Retint-Page": "1" };

// What the service refused, in its own words (RFC 9457), or that it could not be reached.
export class Problem extends Error {
  constructor({ title, detail, code, status = 0, errors = [] }) {
    super(detail);
    Object.assign(this, { title, detail, code, status, errors });
  }
}

let askForKey = () => {};
export function onKeyWanted(ask) { askForKey = ask; }

export async function call(path, { method = "GET", headers = {}, ...rest } = {}) {
  let response;
  try {
    response = await fetch(path, { method, headers: { ...FROM_PAGE, ...headers }, ...rest });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (response.ok || response.status === 304) return response;
  throw await refused(response.status, () => response.json());
}

export async function get(path, options) {
  return (await call(path, options)).json();
}

async function refused(status, read) {
  if (status === 401) askForKey();
  try {
    const problem = await read();
    return new Problem(problem);
  } catch {
    return new Problem({
      title: "The answer was not the service's", code: "no_problem", status,
      detail: `Something between here and the service answered with status ${status}. Try again; if it stays so, ask who runs the service.`,
    });
  }
}

// Whether what was asked for is not there: never made, deleted, or expired.
export function isGone(problem) {
  return [404, 410].includes(problem.status);
}

export function unreachable() {
  return new Problem({
    title: "The service does not answer", code: "unreachable",
    detail: "It may be restarting, or the network is down. Nothing is lost; try again in a moment.",
  });
}

// As `call`, for bodies that take a while to send: `onprogress` is told the bytes that went. XMLHttpRequest, since
// fetch does not tell. `signal` ends it.
export function send(path, { method, headers = {}, body, onprogress = () => {}, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    for (const [name, value] of Object.entries({ ...FROM_PAGE, ...headers })) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => onprogress(event.loaded, event.total));
    request.addEventListener("error", () => reject(unreachable()));
    request.addEventListener("abort", () => reject(new DOMException("Stopped.", "AbortError")));
    request.addEventListener("load", async () => {
      if (request.status >= 200 && request.status < 300) resolve(request);
      else reject(await refused(request.status, async () => JSON.parse(request.responseText)));
    });
    signal?.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

// Calls `onchange` with the job whenever it changed, until it has ended or `close` is called.
export function watch(jobId, { onchange, onlost, onproblem }) {
  let job = null;
  let source = null;
  let closed = false;
  const open = () => {
    source = new EventSource(`/v1/jobs/${jobId}/events`);
    const whole = (event) => { job = JSON.parse(event.data); onchange(job); };
    source.addEventListener("snapshot", whole);
    source.addEventListener("end", (event) => { source.close(); whole(event); });
    source.addEventListener("change", (event) => { job = { ...job, ...JSON.parse(event.data) }; onchange(job); });
    source.addEventListener("deleted", () => { source.close(); look(); });
    source.addEventListener("error", () => {
      if (closed) return;
      onlost();
      // It comes back by itself, unless it was refused: then the job itself says why.
      if (source.readyState === EventSource.CLOSED) look();
    });
  };
  const look = async () => {
    try {
      job = await get(`/v1/jobs/${jobId}`);
      if (closed) return;
      onchange(job);
      if (!ended(job)) setTimeout(() => closed || open(), 2000);
    } catch (problem) {
      if (closed) return;
      if (problem.code === "unreachable" || problem.status >= 500) setTimeout(() => closed || look(), 2000);
      else onproblem(problem);
    }
  };
  open();
  return { close() { closed = true; source?.close(); } };
}

// Waits for a search, or a coloring, to end.
export async function waitFor(path, { onchange = () => {}, signal } = {}) {
  for (;;) {
    let record;
    try {
      record = await get(`${path}?wait=10`, { signal });
    } catch (problem) {
      if (problem.name === "AbortError" || !(problem.code === "unreachable" || problem.status >= 500)) throw problem;
      await pause(1500, signal);
      continue;
    }
    onchange(record);
    if (ended(record)) return record;
    await pause(250, signal);
  }
}

export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("Stopped.", "AbortError")); });
  });
}

export function ended(record) {
  return ["succeeded", "failed", "canceled"].includes(record.status);
}

// A name for a submission, so that sending it twice makes no second job. `crypto.randomUUID` is there on https alone.
function newName() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Names one content after the other: the same for as long as that is the same, however often it is sent, since an answer
// may be lost. The content is told in parts; files count as themselves, not by what is in them.
export class Submission {
  #parts = null;
  #name = "";

  nameFor(...parts) {
    const same = this.#parts?.length === parts.length && parts.every((part, at) => part === this.#parts[at]);
    if (!same) [this.#parts, this.#name] = [parts, newName()];
    return this.#name;
  }
}
