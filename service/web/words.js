// Numbers and states in words.

export function bytes(count) {
  if (count < 1e3) return `${count} bytes`;
  const units = ["KB", "MB", "GB", "TB"];
  let value = count;
  let unit = "";
  for (unit of units) {
    value /= 1000;
    if (value < 999.5) break;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

// A length of film: 0:07, 12:30, 1:02:03.
export function clock(seconds) {
  const whole = Math.floor(seconds + 1e-6);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

// How long something still takes.
export function left(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 5) return "a few seconds left";
  if (seconds < 90) return `${Math.round(seconds)} seconds left`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes left`;
  return `${(seconds / 3600).toFixed(1)} hours left`;
}

export function ago(iso) {
  const seconds = (Date.now() - new Date(iso).getTime()) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return many(Math.floor(seconds / 60), "minute") + " ago";
  if (seconds < 86400) return many(Math.floor(seconds / 3600), "hour") + " ago";
  return new Date(iso).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

export function many(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

export function rate(value) {
  return `${Number(value.toFixed(value < 10 ? 1 : value % 1 ? 2 : 0))} fps`;
}

export const PHASES = [
  ["probing", "Reading the film"],
  ["detecting_shots", "Finding the shots"],
  ["tuning", "Learning your colors"],
  ["colorizing", "Coloring"],
  ["encoding", "Writing the file"],
  ["publishing", "Finishing"],
];

export const phase = (name) => PHASES.find(([known]) => known === name)?.[1] ?? "Working";

export const STATUS = {
  queued: "Waiting", processing: "Being colored", succeeded: "Done", failed: "Failed", canceled: "Canceled",
};

export const VARIANTS = {
  video: "Color film", comparison: "Before and after, side by side", preview: "One frame before and after",
  report: "Report", report_json: "Report for programs", archive: "Frames",
};

export function facts(video) {
  if (!video) return "";
  return [`${video.width}×${video.height}`, clock(video.duration_seconds), rate(video.frame_rate), video.has_audio ? "with sound" : ""]
    .filter(Boolean).join(" · ");
}

export function confidence(value) {
  if (value === null || value === undefined) return "";
  return `${Math.round(value * 100)} %`;
}

// The page sends a film's title along; what came otherwise, such as by curl, has the name of its file. Where it has none,
// its first colored frame says more than an id.
export const titleOf = (record) =>
  record.options?.metadata?.title || record.filename || (record.references?.[0] ?? record.options?.references?.[0])?.name || record.id;
