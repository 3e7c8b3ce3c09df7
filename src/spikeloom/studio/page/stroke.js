// Strokes: lists of points [x, y, seconds]. They are rounded before use, so that a link holds exactly the stroke that was sent.

import { clamp, median, range } from "./dom.js";

/** Largest number of points of a stroke. Of a longer stroke, every second point is kept, or every third, and so on. */
export const MOST_POINTS = 600;

/** Return the exponent of the power of ten to which positions are rounded. It is finer than a thousandth of the field. */
export function exponentOf(extent) {
  return Math.floor(Math.log10(Math.max(extent[1] - extent[0], extent[3] - extent[2]) / 2000));
}

/** Round positions to a power of ten and times to milliseconds. Drop points whose time is not later than the last. */
export function rounded(points, exponent) {
  const unit = 10 ** -exponent;
  const result = [];
  let last = -1;
  for (const [x, y, time] of points) {
    const ms = Math.round((time - points[0][2]) * 1000);
    if (ms > last) result.push([Math.round(x * unit) / unit, Math.round(y * unit) / unit, ms / 1000]);
    last = Math.max(last, ms);
  }
  const stride = Math.ceil(result.length / MOST_POINTS);
  return result.filter((_, k) => k % stride === 0 || k === result.length - 1);
}

/** Write a stroke as text for a link: the exponent, then the differences of points in base 36. */
export function encode(points, exponent) {
  const unit = 10 ** -exponent;
  let previous = [0, 0, 0];
  const parts = points.map(([x, y, time]) => {
    const current = [Math.round(x * unit), Math.round(y * unit), Math.round(time * 1000)];
    const text = current.map((value, k) => (value - previous[k]).toString(36)).join(".");
    previous = current;
    return text;
  });
  return [exponent, ...parts].join("_");
}

/** Read a stroke from the text of a link. Return null if the text is damaged. */
export function decode(text) {
  const [first, ...parts] = text.split("_");
  const exponent = Number(first);
  if (!Number.isInteger(exponent) || Math.abs(exponent) > 12 || parts.length < 2 || parts.length > MOST_POINTS + 1) return null;
  const unit = 10 ** -exponent;
  const current = [0, 0, 0];
  const points = [];
  for (const part of parts) {
    const steps = part.split(".").map((value) => parseInt(value, 36));
    if (steps.length !== 3 || !steps.every(Number.isFinite)) return null;
    steps.forEach((value, k) => { current[k] += value; });
    points.push([current[0] / unit, current[1] / unit, current[2] / 1000]);
  }
  return points;
}

/** Return the length of a path. */
export const lengthOf = (path) => path.reduce((sum, point, k) => sum + (k ? Math.hypot(point[0] - path[k - 1][0], point[1] - path[k - 1][1]) : 0), 0);

/** Return the position at a time, interpolated between the two nearest points. */
export function positionAt(points, time) {
  if (time <= points[0][2]) return points[0].slice(0, 2);
  const k = points.findIndex((point) => point[2] >= time);
  if (k < 0) return points[points.length - 1].slice(0, 2);
  const [left, right] = [points[k - 1], points[k]];
  const weight = (time - left[2]) / (right[2] - left[2] || 1);
  return [left[0] + weight * (right[0] - left[0]), left[1] + weight * (right[1] - left[1])];
}

// Each example stroke as a function: it returns the position when this fraction of the stroke (0 to 1) is drawn.
const SHAPES = {
  circle: (fraction) => [1 - Math.cos(2 * Math.PI * fraction), Math.sin(2 * Math.PI * fraction)],
  line: (fraction) => [0.94 * fraction, 0.34 * fraction],
  eight: (fraction) => [1.5 * Math.sin(2 * Math.PI * fraction), 0.75 * Math.sin(4 * Math.PI * fraction)],
};
const RELATIVE_LENGTH = { circle: 1.4, line: 1, eight: 1.6 }; // length of an example divided by the length of a typical training path

/** Return an example stroke. Start, duration and speed are those of a typical training trial. */
export function example(name, model) {
  const { extent, training_paths: paths, bins, bin_width: binWidth } = model;
  const start = paths.length ? [median(paths.map((path) => path[0][0])), median(paths.map((path) => path[0][1]))] : [0, 0];
  const outline = range(121).map((k) => SHAPES[name](k / 120));
  const typical = paths.length ? median(paths.map(lengthOf)) : (extent[1] - extent[0]) / 2;
  const size = (RELATIVE_LENGTH[name] * typical) / lengthOf(outline);
  const seconds = clamp(bins * binWidth, 0.5, 3);
  const count = Math.round(seconds / 0.012); // one point every 12 ms
  return range(count + 1).map((k) => {
    const time = k / count;
    const [x, y] = SHAPES[name](time ** 3 * (10 - 15 * time + 6 * time ** 2)); // minimum-jerk profile
    return [start[0] + x * size, start[1] + y * size, time * seconds];
  });
}
