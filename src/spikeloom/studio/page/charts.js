// Line charts and scatter plots as SVG, heat maps on canvas. Text elements carry the values for screen readers.

import { make, range, roundStep, shape, formatNumber } from "./dom.js";
import { fit, heatColour } from "./theme.js";

const [WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM] = [300, 170, 38, 24, 8, 34];

/** Return an empty chart with its axes, and the functions from values to pixels. */
function frame(title, label, [xmin, xmax], [ymin, ymax], xText, yText) {
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": label });
  const x = (value) => LEFT + ((WIDTH - LEFT - RIGHT) * (value - xmin)) / (xmax - xmin || 1);
  const y = (value) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (value - ymin)) / (ymax - ymin || 1);
  svg.append(shape("text", { x: LEFT, y: 13, class: "title" }, title));
  svg.append(shape("path", { class: "frame", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}` }));
  const step = roundStep(xmax - xmin || 1, 5);
  for (const k of range(Math.floor((xmax - xmin) / step + 1e-6) + 1)) {
    const value = xmin + k * step;
    svg.append(shape("text", { x: x(value), y: HEIGHT - BOTTOM + 13, "text-anchor": "middle" }, Number(value.toPrecision(4))));
  }
  svg.append(shape("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, xText));
  for (const value of [ymin, ymax]) svg.append(shape("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, Number(value.toPrecision(2))));
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  svg.append(shape("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, yText));
  return { svg, x, y };
}

/** Return a chart of lines over time: `series` is a list of { name, kind, values }, one value per bin. */
export function lineChart(title, series, binWidth) {
  const shown = series.filter(({ values }) => values?.some((value) => value !== null));
  const bins = Math.max(1, ...shown.map(({ values }) => values.length));
  const highest = Math.max(1, ...shown.flatMap(({ values }) => values.filter((value) => value !== null)));
  const summary = shown.map(({ name, values }) => `${name} ${formatNumber(mean(values), 1)} on average`).join(", ");
  const { svg, x, y } = frame(title, `${title}: firing rate in spikes per second; ${summary}`, [0, bins * binWidth], [0, Math.ceil(highest)], "time (s)", "spikes/s");
  for (const { kind, values } of shown) {
    const points = values.map((value, bin) => `${x((bin + 0.5) * binWidth).toFixed(1)} ${y(value ?? 0).toFixed(1)}`);
    svg.append(shape("path", { class: `line ${kind}`, d: `M${points.join("L")}` }));
  }
  return svg;
}

/** Return a scatter plot of pairs with the line of equal values. */
export function scatterChart(title, pairs, xText, yText, label) {
  const largest = Math.max(1, ...pairs.flat());
  const { svg, x, y } = frame(title, label, [0, largest], [0, largest], xText, yText);
  svg.append(shape("path", { class: "equal", d: `M${x(0)} ${y(0)}L${x(largest)} ${y(largest)}` }));
  for (const [across, up] of pairs) svg.append(shape("circle", { class: "spot", cx: x(across), cy: y(up), r: 3 }));
  return svg;
}

/** Return the mean of the finite values, NaN if there are none. */
export const mean = (values) => {
  const finite = values.filter((value) => Number.isFinite(value));
  return finite.length ? finite.reduce((sum, value) => sum + value, 0) / finite.length : NaN;
};

/** Return the Pearson correlation of two lists of numbers. */
export function correlation(first, second) {
  const [firstMean, secondMean] = [mean(first), mean(second)];
  const sum = (products) => products.reduce((total, product) => total + product, 0);
  const covariance = sum(first.map((value, k) => (value - firstMean) * (second[k] - secondMean)));
  const firstVariance = sum(first.map((value) => (value - firstMean) ** 2));
  const secondVariance = sum(second.map((value) => (value - secondMean) ** 2));
  return covariance / Math.sqrt(firstVariance * secondVariance);
}

/** Paint rates (neuron, bin) as a heat map, neurons in the order of rasters. The rate `scales[neuron]` has the strongest colour. */
export function heatMap(canvas, rates, order, scales) {
  const { context, width, height } = fit(canvas);
  if (!width) return;
  const bins = rates[0].length;
  order.forEach((neuron, row) => {
    for (let bin = 0; bin < bins; bin += 1) {
      context.fillStyle = heatColour((rates[neuron][bin] ?? 0) / (scales[neuron] || 1));
      const left = Math.floor((bin * width) / bins);
      const top = Math.floor((row * height) / order.length);
      context.fillRect(left, top, Math.ceil(((bin + 1) * width) / bins) - left, Math.ceil(((row + 1) * height) / order.length) - top);
    }
  });
}

/** Return a bar for each fraction. An entry is { name, kind, value, text }; `text` replaces the value beside the bar. */
export function bars(entries, note = "") {
  const host = make("div", { class: "scale" });
  for (const { name, kind, value, text } of entries) {
    const fill = make("i", { class: kind });
    fill.style.width = `${100 * Math.max(0, Math.min(1, value ?? 0))}%`;
    const track = make("div", { class: "track", "aria-hidden": "true" }, fill);
    host.append(make("div", { class: "row" }, make("span", {}, name), track, make("b", {}, text ?? formatNumber(value))));
  }
  if (note) host.append(make("p", {}, note));
  return host;
}
