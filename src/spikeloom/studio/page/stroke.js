// Strokes: lists of [x, y, seconds]. They are rounded before use, so that a link holds exactly what was sent.

import { clamp, median, range } from "./dom.js";

/** Most points of a stroke: longer ones are thinned out evenly. */
export const MOST_POINTS = 600;

/** Return the power of ten that positions are rounded to: finer than a thousandth of the field. */
export function exponentOf(extent) {
  return Math.floor(Math.log10(Math.max(extent[1] - extent[0], extent[3] - extent[2]) / 2000));
}

/** Round positions to a power of ten and times to milliseconds; drop points without a later time. */
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
  let before = [0, 0, 0];
  const parts = points.map(([x, y, time]) => {
    const now = [Math.round(x * unit), Math.round(y * unit), Math.round(time * 1000)];
    const text = now.map((value, k) => (value - before[k]).toString(36)).join(".");
    before = now;
    return text;
  });
  return [exponent, ...parts].join("_");
}

/** Read a stroke from a link. Return null where the text is none. */
export function decode(text) {
  const [first, ...parts] = text.split("_");
  const exponent = Number(first);
  if (!Number.isInteger(exponent) || Math.abs(exponent) > 12 || parts.length < 2 || parts.length > MOST_POINTS + 1) return null;
  const unit = 10 ** -exponent;
  const now = [0, 0, 0];
  const points = [];
  for (const part of parts) {
    const steps = part.split(".").map((value) => parseInt(value, 36));
    if (steps.length !== 3 || !steps.every(Number.isFinite)) return null;
    steps.forEach((value, k) => { now[k] += value; });
    points.push([now[0] / unit, now[1] / unit, now[2] / 1000]);
  }
  return points;
}

/** Return the length of a path. */
export const lengthOf = (path) => path.reduce((sum, point, k) => sum + (k ? Math.hypot(point[0] - path[k - 1][0], point[1] - path[k - 1][1]) : 0), 0);

/** Return the position at a time, between the two nearest points. */
export function positionAt(points, time) {
  if (time <= points[0][2]) return points[0].slice(0, 2);
  const k = points.findIndex((point) => point[2] >= time);
  if (k < 0) return points[points.length - 1].slice(0, 2);
  const [before, after] = [points[k - 1], points[k]];
  const share = (time - before[2]) / (after[2] - before[2] || 1);
  return [before[0] + share * (after[0] - before[0]), before[1] + share * (after[1] - before[1])];
}

const SHAPES = {
  circle: (share) => [1 - Math.cos(2 * Math.PI * share), Math.sin(2 * Math.PI * share)],
  line: (share) => [0.94 * share, 0.34 * share],
  eight: (share) => [1.5 * Math.sin(2 * Math.PI * share), 0.75 * Math.sin(4 * Math.PI * share)],
};
const TIMES_LONGER = { circle: 1.4, line: 1, eight: 1.6 }; // than the typical training path

/** Return an example stroke that starts where training paths start, as long as training trials and about as fast. */
export function example(name, model) {
  const { extent, training_paths: paths, bins, bin_width: binWidth } = model;
  const start = paths.length ? [median(paths.map((path) => path[0][0])), median(paths.map((path) => path[0][1]))] : [0, 0];
  const outline = range(121).map((k) => SHAPES[name](k / 120));
  const typical = paths.length ? median(paths.map(lengthOf)) : (extent[1] - extent[0]) / 2;
  const size = (TIMES_LONGER[name] * typical) / lengthOf(outline);
  const seconds = clamp(bins * binWidth, 0.5, 3);
  const count = Math.round(seconds / 0.012);
  return range(count + 1).map((k) => {
    const share = k / count;
    const [x, y] = SHAPES[name](share ** 3 * (10 - 15 * share + 6 * share ** 2)); // least jerk
    return [start[0] + x * size, start[1] + y * size, share * seconds];
  });
}
