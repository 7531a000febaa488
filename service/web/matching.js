// Which shot a colored picture belongs to: by the name that its frame was downloaded with, or by its looks.

const WIDTH = 48;
const HEIGHT = 27;
const SAME_FRAME = 0.97; // Correlation of luma from which a picture is taken for the very frame.
const SAME_SHOT = 0.75; // From which it is taken for one of the same shot; below, the service looks through the film.
// What the service takes for gray (worker/fitting.py): in a picture of this side the half percent with the most color is
// nearer to gray than 4 codes of 255. A code less here: a browser scales otherwise, and what is doubtful the service says.
const CHROMA_SIDE = 256;
const LEAST_CHROMA = 3;
const MOST_COLORED = 0.995;

// Where a colored picture belongs is { shot, frame, near, chosen, example }. `shot` and `frame` null: unknown. `frame` null:
// the service finds it; with `chosen`, as somebody chose the shot, in that shot alone. `near`: the offered frame that it was
// put to. `example`: it is no frame of the film.
export const UNKNOWN = { shot: null, frame: null, near: null, chosen: false, example: false };
export const EXAMPLE = { ...UNKNOWN, example: true };
export const at = ({ shot, frame }) => ({ ...UNKNOWN, shot, frame, near: frame });

export function frameInName(name) {
  const found = /frame-(\d+)/.exec(name);
  return found ? Number(found[1]) : null;
}

// Luma of a picture, small, with mean zero and length one.
export async function signature(source) {
  const bitmap = await createImageBitmap(source);
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, WIDTH, HEIGHT);
  bitmap.close();
  const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
  const luma = new Float32Array(WIDTH * HEIGHT);
  for (let i = 0; i < luma.length; i++) luma[i] = 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];
  const mean = luma.reduce((sum, value) => sum + value, 0) / luma.length;
  let length = 0;
  for (let i = 0; i < luma.length; i++) {
    luma[i] -= mean;
    length += luma[i] ** 2;
  }
  length = Math.sqrt(length) || 1;
  return luma.map((value) => value / length);
}

// Whether a picture has no color; false where this browser cannot read it: then the service says.
export async function isGray(source) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(source);
  } catch {
    return false;
  }
  const scale = Math.min(1, CHROMA_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const chroma = new Float32Array(width * height);
  for (let i = 0; i < chroma.length; i++) {
    const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
    const luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    chroma[i] = Math.round(Math.max(Math.abs(0.713 * (red - luma)), Math.abs(0.564 * (blue - luma))));
  }
  chroma.sort();
  return chroma[Math.round(MOST_COLORED * (chroma.length - 1))] < LEAST_CHROMA;
}

function likeness(one, two) {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += one[i] * two[i];
  return sum;
}

// By the name that a frame is downloaded with, also one that is not offered any more; null where it does not say.
function placeByName(name, offered) {
  const own = offered.find((keyframe) => isNamed(keyframe, name));
  if (own) return at(own);
  const [, shot, frame] = (/^shot-(\d+)_frame-(\d+)/.exec(name) ?? []).map(Number);
  const isOfShot = offered.some((one) => one.shot === shot - 1 && one.first_frame <= frame && frame <= one.last_frame);
  return isOfShot ? at({ shot: shot - 1, frame }) : null;
}

// Where `picture` (a file) belongs among the frames `offered` ({ shot, frame, look: () => Promise of a signature }).
export async function place(picture, offered) {
  const named = placeByName(picture.name, offered);
  if (named) return named;
  let look;
  try {
    look = await signature(picture);
  } catch {
    return UNKNOWN; // A kind of picture that this browser cannot read, such as TIFF: the service can.
  }
  let best = { score: SAME_SHOT, where: UNKNOWN };
  for (const keyframe of offered) {
    const score = likeness(look, await keyframe.look());
    if (score > best.score) best = { score, where: { ...at(keyframe), ...(score < SAME_FRAME && { frame: null }) } };
  }
  return best.where;
}

// Where `picture` (a file or painted, that had `name`) belongs in the shot of `keyframe`, which somebody chose for it: that
// says nothing of the frame.
export async function placeWithin(keyframe, picture, name) {
  const isShown = isNamed(keyframe, name) || (await looksLike(keyframe, picture));
  return { ...at(keyframe), ...(!isShown && { frame: null }), chosen: true };
}

// Whether a picture has the name that a frame offered is downloaded and painted under.
export function isNamed(keyframe, name) {
  return frameInName(name) === keyframe.frame;
}

async function looksLike(keyframe, picture) {
  try {
    return likeness(await signature(picture), await keyframe.look()) >= SAME_FRAME;
  } catch {
    return false; // As above: the service can.
  }
}

// `name`, or where that is taken, with a number behind it; the number of the frame stays in it.
export function freeName(name, taken) {
  const [, stem, suffix] = /^(.*?)(\.[^.]*)?$/.exec(name);
  let free = name;
  for (let number = 2; taken.includes(free); number++) free = `${stem}-${number}${suffix ?? ""}`;
  return free;
}
