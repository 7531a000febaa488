// The shape in which a film is shown. A frame to color has as many pixels as the film, and so may the colored one have:
// where the film's pixels are not square, such a picture is stretched.

const SAME_SHAPE = 0.03; // Difference, relative, that is rounding: that of the service (worker/fitting.py).

// Width over height in which a picture of `width` and `height` is shown. `film`: the `video` of a record.
export function shapeOf(width, height, film) {
  const lying = film.width / film.height;
  // As worker/keyframes.py turns the pictures of a film that lies on its side, unless it is nearly square.
  const turned = film.quarter_turns % 2 === 1 && Math.max(lying, 1 / lying) >= 1 + 2 * SAME_SHAPE;
  const stored = turned ? 1 / lying : lying;
  const own = width / height;
  return Math.abs(own / stored - 1) <= SAME_SHAPE ? film.display_width / film.display_height : own;
}

// `image`, an element, in that shape, whichever picture it shows.
export function inShape(image, film) {
  const take = (shape) => image.style.setProperty("--ratio", String(shape));
  image.classList.add("in-shape");
  image.addEventListener("load", () => take(shapeOf(image.naturalWidth, image.naturalHeight, film)));
  take(film.display_width / film.display_height);
  return image;
}
