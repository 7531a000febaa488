// Lines over steps and over time, as SVG.

import { svg } from "/page/dom.js";

// A line through `points` ([x, y], each 0 to 1, y upward), as wide as its place. It breaks where two are farther apart
// in x than `reach`.
export function line(points, { label, kind = "", height = 60, area = false, reach = 1 }) {
  const parts = [];
  points.forEach((point, i) => {
    if (i && point[0] - points[i - 1][0] <= reach) parts.at(-1).push(point);
    else parts.push([point]);
  });
  const through = (part) => part.map(([x, y], i) => `${i ? "L" : "M"}${(x * 1000).toFixed(1)} ${((1 - y) * 100).toFixed(2)}`).join("");
  const path = parts.map(through).join("");
  const under = area && points.length > 1
    ? svg("path", { class: "area", d: parts.map((part) => `${through(part)}L${(part.at(-1)[0] * 1000).toFixed(1)} 100L${(part[0][0] * 1000).toFixed(1)} 100Z`).join("") })
    : null;
  return svg("svg", { class: `chart ${kind}`.trim(), viewBox: "0 0 1000 100", preserveAspectRatio: "none", height, role: "img", "aria-label": label },
    under, svg("path", { class: "line", d: path || "M0 0" }));
}

// `values` brought to 0 to 1, with a little room above and below; where they span less than `least`, around the middle.
export function scaled(values, { least = 0 } = {}) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = Math.max(high - low, least) || 1;
  return values.map((value) => 0.5 + (0.88 * (value - (low + high) / 2)) / span);
}

// Confidence over the film: points { frame, mean } of `frames` frames.
export function confidenceLine(points, frames, { height = 44 } = {}) {
  // Points are as far apart as the nearest two; where it is farther, nothing is colored yet.
  const apart = Math.min(...points.slice(1).map((point, i) => point.frame - points[i].frame));
  const last = Math.max(1, frames - 1);
  const mean = points.length ? points.reduce((sum, point) => sum + point.mean, 0) / points.length : 0;
  return line(points.map((point) => [point.frame / last, point.mean]), {
    label: points.length ? `How sure the colors are over the film: ${Math.round(mean * 100)} percent on average` : "How sure the colors are: nothing is colored yet",
    kind: "confidence", height, area: true, reach: (1.5 * apart) / last,
  });
}
