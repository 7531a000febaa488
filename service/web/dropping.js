// Files let fall on a place.

// Lets `element` take files.
export function dropping(element, onfiles) {
  let depth = 0;
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
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
