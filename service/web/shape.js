// The shape in which a film is shown. A frame to color has as many pixels as the film, and so may the colored one have:
// where the film's pixels are not square, such a picture is stretched.

const SAME_SHAPE = 0.03; // Difference, relative, that is rounding: that of the service (worker/fitting.py).

// Width over height in which a picture of `width` and `height` is shown. `film`: the `video` of a record.
export function shapeOf(width, height, film) {
  const turned = film.display_height !== film.height;
  const stored = turned ? film.height / film.width : film.width / film.height;
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
