// Pictures to save: an SVG document with the path, the raster, the population rate, and a caption with model and seed.

import { range, roundStep, formatNumber } from "./dom.js";
import { rowColours } from "./theme.js";

const INK = "#16202a", SOFT = "#566370", LINE = "#dce2e8", TRAIL = "#c9d1d9", GENERATED = "#c65400";
const FONT = 'font-family="Helvetica, Arial, DejaVu Sans, sans-serif"';

/** Return text with the special characters of SVG escaped. */
const escape = (text) => String(text).replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);

/** Return a text element. */
const text = (x, y, content, { size = 13, colour = SOFT, anchor = "start", weight = 400 } = {}) =>
  `<text x="${x}" y="${y}" ${FONT} font-size="${size}" font-weight="${weight}" fill="${colour}" text-anchor="${anchor}">${escape(content)}</text>`;

/** Return a number with two decimals, as text. */
const twoDecimals = (value) => value.toFixed(2);

/** Return a path element through points that are already in pixels. */
const line = (points, colour, width, opacity = 1) =>
  points.length < 2 ? "" : `<path d="M${points.map(([x, y]) => `${twoDecimals(x)} ${twoDecimals(y)}`).join("L")}" fill="none" stroke="${colour}" stroke-width="${width}" stroke-opacity="${opacity}" stroke-linecap="round" stroke-linejoin="round"/>`;

/** Return one path element per neuron, with a short line for each spike. */
function spikes(data, [left, top, width, height]) {
  const row = height / data.order.length;
  const colours = rowColours(data.order.length, false);
  return data.order.map((neuron, k) => {
    const ticks = data.spikes[neuron].map((bin) => `M${twoDecimals(left + ((bin + 0.5) * width) / data.bins)} ${twoDecimals(top + (k + 0.08) * row)}v${twoDecimals(row * 0.84)}`);
    return ticks.length ? `<path d="${ticks.join("")}" stroke="${colours[k]}" stroke-width="1.4" fill="none"/>` : "";
  }).join("");
}

/** Return the paths of a field, in a square box. */
function paths(field, [left, top, side]) {
  const [xmin, xmax, ymin, ymax] = field.extent;
  const scale = side / (1.12 * Math.max(xmax - xmin, ymax - ymin));
  const pixel = ([x, y]) => [left + side / 2 + scale * (x - (xmin + xmax) / 2), top + side / 2 - scale * (y - (ymin + ymax) / 2)];
  const step = roundStep(xmax - xmin, 4);
  const bar = `<path d="M${left + side - step * scale} ${top + side - 6}h${step * scale}" stroke="${SOFT}" stroke-width="1.5"/>`;
  return [
    ...field.training.map((path) => line(path.map(pixel), TRAIL, 1)),
    line(field.path.map(pixel), INK, 3),
    field.decoded ? line(field.decoded.map(pixel), GENERATED, 2.4) : "",
    bar,
    text(left + side - (step * scale) / 2, top + side - 12, `${Number(step.toPrecision(3))} ${field.unit || ""}`, { anchor: "middle" }),
  ].join("");
}

/** Return the population rate and the time axis. */
function rate(data, [left, top, width, height]) {
  const highest = Math.max(1e-9, ...data.rate);
  const points = data.rate.map((value, bin) => [left + ((bin + 0.5) * width) / data.bins, top + height * (1 - value / highest)]);
  const seconds = data.bins * data.binWidth;
  const step = roundStep(seconds, 8);
  const ticks = range(Math.floor(seconds / step + 1e-6) + 1).map((k) => {
    const x = left + (k * step * width) / seconds;
    return `<path d="M${twoDecimals(x)} ${top + height}v5" stroke="${SOFT}"/>${text(twoDecimals(x), top + height + 19, Number((k * step).toPrecision(6)), { anchor: "middle" })}`;
  });
  return [
    line(points, INK, 1.8),
    `<path d="M${left} ${top + height}h${width}" stroke="${LINE}"/>`,
    ...ticks,
    text(left + width / 2, top + height + 36, "time (s)", { anchor: "middle" }),
    text(left - 8, top + 10, formatNumber(highest, highest < 10 ? 1 : 0), { anchor: "end" }),
    text(left - 8, top + height, "spikes/s", { anchor: "end", size: 11 }),
  ].join("");
}

/** Return the picture as SVG text. Without a field (null), the raster takes the full width. */
export function picture({ title, caption, data, field = null }) {
  const [width, height] = [1180, 560];
  const left = field ? 520 : 90;
  const box = [left, 84, width - left - 40, 316];
  const legend = field
    ? text(40, 492, "hand path", { colour: INK, weight: 600 }) + (field.decoded ? text(120, 492, "decoded from the spikes", { colour: GENERATED, weight: 600 }) : "")
    : "";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(40, 46, title, { size: 22, colour: INK, weight: 600 }),
    field ? paths(field, [40, 76, 390]) : "",
    legend,
    `<g id="spikes">${spikes(data, box)}</g>`,
    text(left - 8, 96, `${data.order.length}`, { anchor: "end" }),
    text(left - 8, 112, data.order.length === 1 ? "neuron" : "neurons", { anchor: "end", size: 11 }),
    rate(data, [left, 416, box[2], 64]),
    text(40, 540, caption, { size: 12 }),
    "</svg>",
  ].join("\n");
}

/** Return a PNG of an SVG document, at twice its size. */
export async function pngOf(svg) {
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth * 2;
  canvas.height = image.naturalHeight * 2;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(address);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
