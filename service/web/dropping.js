// Files let fall on a place.

import { tell } from "/page/dom.js";

const isFiles = (event) => event.dataTransfer?.types.includes("Files");

let widest = null; // { element, onfiles } of the place that takes what falls beside every other, while it is shown

// Lets `element` take files, and all that falls beside it too where it is for the whole page.
export function dropping(element, onfiles, { wholePage = false } = {}) {
  if (wholePage) widest = { element, onfiles };
  let depth = 0;
  element.addEventListener("dragenter", (event) => { if (isFiles(event)) { depth += 1; element.classList.add("over"); } });
  element.addEventListener("dragleave", (event) => { if (isFiles(event) && --depth <= 0) { depth = 0; element.classList.remove("over"); } });
  element.addEventListener("dragover", (event) => { if (isFiles(event)) { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; } });
  element.addEventListener("drop", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    depth = 0;
    element.classList.remove("over");
    onfiles([...event.dataTransfer.files]);
  });
}

// A file let fall where no place takes it would otherwise take this page away.
export function dropAnywhere() {
  const place = () => (widest?.element.isConnected && !document.querySelector("dialog[open]") ? widest : null);
  addEventListener("dragover", (event) => {
    if (event.defaultPrevented || !isFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = place() ? "copy" : "none";
  });
  addEventListener("drop", (event) => {
    if (event.defaultPrevented || !isFiles(event)) return;
    event.preventDefault();
    const found = place();
    if (found) found.onfiles([...event.dataTransfer.files]);
    else tell("There is no place for a file here.");
  });
}
