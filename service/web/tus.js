// Sends a file by tus 1.0, and goes on where it broke off: after a lost connection by itself, after a closed tab when
// the same file is chosen again.

import { Problem, call, pause, send } from "/page/api.js";

const VERSION = { "Tus-Resumable": "1.0.0" };
const CHUNK = 64 * 1024 * 1024; // Bytes in one call: what proxies commonly let through, and few calls for a film.
const LONGEST_PAUSE = 15000;
const PREFIX = "retint.upload.";

export class Upload {
  constructor(file, { onprogress, ontrouble }) {
    this.file = file;
    this.sent = 0;
    this.onprogress = onprogress;
    this.ontrouble = ontrouble;
    this.stopping = new AbortController();
    this.address = null;
  }

  // Sends what is still to send, and returns the upload's id.
  async finish() {
    this.stopping = new AbortController();
    let troubles = 0;
    for (;;) {
      try {
        this.sent = await this.#standing();
        this.#tell(this.sent);
        while (this.sent < this.file.size) {
          await this.#append();
          troubles = 0;
        }
        forget(this.file);
        return this.address.split("/").pop();
      } catch (error) {
        if (!passes(error)) throw error;
        troubles += 1;
        this.ontrouble(error);
        await pause(Math.min(LONGEST_PAUSE, 500 * 2 ** troubles), this.stopping.signal);
      }
    }
  }

  stop() {
    this.stopping.abort();
  }

  // Ends it for good.
  async discard() {
    this.stop();
    forget(this.file);
    if (this.address) await call(this.address, { method: "DELETE", headers: VERSION }).catch(() => {});
  }

  // How many bytes are there; where nothing is there yet, begins.
  async #standing() {
    this.address ??= remembered(this.file)?.address ?? null;
    if (this.address) {
      try {
        const answer = await call(this.address, { method: "HEAD", headers: VERSION, signal: this.stopping.signal });
        return Number(answer.headers.get("Upload-Offset"));
      } catch (error) {
        if (![403, 404, 410].includes(error.status)) throw error;
        forget(this.file);
      }
    }
    const answer = await call("/v1/uploads", {
      method: "POST",
      headers: { ...VERSION, "Upload-Length": String(this.file.size), "Upload-Metadata": `filename ${base64(this.file.name)}` },
      signal: this.stopping.signal,
    });
    this.address = new URL(answer.headers.get("Location"), location.href).pathname;
    remember(this.file, this.address, 0);
    return 0;
  }

  async #append() {
    const from = this.sent;
    const answer = await send(this.address, {
      method: "PATCH",
      headers: { ...VERSION, "Upload-Offset": String(from), "Content-Type": "application/offset+octet-stream" },
      body: this.file.slice(from, from + CHUNK),
      onprogress: (bytes) => this.#tell(from + bytes),
      signal: this.stopping.signal,
    });
    this.sent = Number(answer.getResponseHeader("Upload-Offset"));
    remember(this.file, this.address, this.sent);
    this.#tell(this.sent);
  }

  #tell(bytes) {
    this.onprogress(bytes, this.file.size);
  }
}

function passes(error) {
  return error instanceof Problem && (error.code === "unreachable" || [409, 423, 429, 500, 502, 503, 504].includes(error.status)
    || error.code === "upload_incomplete");
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

const nameOf = (file) => `${PREFIX}${file.name}|${file.size}|${file.lastModified}`;

function remember(file, address, bytes) {
  try {
    localStorage.setItem(nameOf(file), JSON.stringify({ address, bytes, name: file.name, size: file.size, at: Date.now() }));
  } catch { /* A browser that keeps nothing: a closed tab begins anew then. */ }
}

function remembered(file) {
  try {
    return JSON.parse(localStorage.getItem(nameOf(file)));
  } catch {
    return null;
  }
}

export function forget(file) {
  try { localStorage.removeItem(nameOf(file)); } catch { /* As above. */ }
}

// Uploads that a closed tab broke off, for the page to tell of.
export function interrupted() {
  const day = 24 * 3600 * 1000;
  const found = [];
  try {
    for (const key of Object.keys(localStorage)) {
      if (!key.startsWith(PREFIX)) continue;
      const entry = JSON.parse(localStorage.getItem(key));
      if (Date.now() - entry.at > day) localStorage.removeItem(key); // The service has let it go by then.
      else found.push({ ...entry, key });
    }
  } catch { /* As above. */ }
  return found;
}

export async function discardInterrupted(entry) {
  localStorage.removeItem(entry.key);
  await call(entry.address, { method: "DELETE", headers: VERSION }).catch(() => {});
}
