"use strict";
// Tabs, and values under the pointer. Without this script the page shows the contents of all tabs below each other.
//
// The attribute data-hover of a drawing holds what `report/svg.py` stores there: the kind of the chart (kind), the axes'
// labels (xl, yl), the scale of each axis (ax, ay: offset, factor, 1 if logarithmic), the box of the axes in pixels, and
// either the names of the rows or the series (s) with their name (n), values (x, y) and labels of points (l).

const tabs = document.querySelector('[role="tablist"]');
if (tabs) {
  const buttons = [...tabs.children];
  const choose = (button) => {
    for (const other of buttons) {
      const chosen = other === button;
      other.setAttribute("aria-selected", chosen);
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  tabs.hidden = false;
  tabs.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose(button);
  });
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    choose(next);
    next.focus();
  });
  choose(buttons[0]);
}

const tip = document.getElementById("tip");
const hoverData = new WeakMap();  // drawing -> its data, read once
let marked = null;                // the drawing that has marks

// Return a number as text, with a typographic minus sign.
const numberText = (number) => number === null || number === undefined ? "none" : String(number).replace("-", "\u2212");

// Return the pixel of a value on an axis, and the value of a pixel.
const pixel = ([offset, factor, log], value) => value === null ? NaN : offset + factor * (log ? Math.log10(value) : value);
const valueAt = ([offset, factor, log], position) => {
  const value = (position - offset) / factor;
  return log ? 10 ** value : value;
};

const addShape = (svg, name, attributes) => {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  svg.append(shape);
};

// One function for each kind of chart. Its arguments are the data of a drawing and the position of the pointer in pixels.
// It returns [lines, marks], the lines of text and the marks to draw, or null if no value is near the pointer.
const find = {
  raster(data, x, y) {
    const row = Math.round(valueAt(data.ay, y));
    if (row < 0 || row >= data.rows.length) return null;
    return [[data.rows[row], `${valueAt(data.ax, x).toFixed(3)} s`], []];
  },
  lines(data, x, y) {
    let nearest = null;  // the value on the first axis that is nearest to the pointer
    let smallest = Infinity;
    for (const series of data.s) series.x.forEach((value, k) => {
      const distance = Math.abs(pixel(data.ax, value) - x);
      if (series.y[k] === null || distance >= smallest) return;
      smallest = distance;
      nearest = value;
    });
    if (nearest === null) return null;
    const [, top, , bottom] = data.box;
    const cursor = pixel(data.ax, nearest);
    const lines = [`${data.xl}: ${numberText(nearest)}`];
    const marks = [["path", { class: "cursor", d: `M${cursor} ${top}V${bottom}` }]];
    for (const series of data.s) {
      const k = series.x.indexOf(nearest);
      if (k < 0 || series.y[k] === null) continue;
      lines.push(`${series.n || data.yl}: ${numberText(series.y[k])}`);
      const height = pixel(data.ay, series.y[k]);
      if (height >= top - 1 && height <= bottom + 1) marks.push(["circle", { class: "spot", cx: cursor, cy: height, r: 3 }]);
    }
    return [lines, marks];
  },
  points(data, x, y) {
    let nearest = null;  // series and number of the nearest point
    let smallest = 24;   // pixels; points farther away are not shown
    for (const series of data.s) series.x.forEach((value, k) => {
      const distance = Math.hypot(pixel(data.ax, value) - x, pixel(data.ay, series.y[k]) - y);
      if (distance >= smallest) return;
      smallest = distance;
      nearest = [series, k];
    });
    if (nearest === null) return null;
    const [series, k] = nearest;
    const mark = { class: "spot", cx: pixel(data.ax, series.x[k]), cy: pixel(data.ay, series.y[k]), r: 5 };
    const title = [series.l[k], series.n].filter(Boolean).join(" \u00b7 ");
    const lines = [title, `${data.xl}: ${numberText(series.x[k])}`, `${data.yl}: ${numberText(series.y[k])}`].filter(Boolean);
    return [lines, [["circle", mark]]];
  },
};

// Remove all marks, and hide the text.
const clear = () => {
  if (marked) for (const mark of marked.querySelectorAll(".cursor, .spot")) mark.remove();
  marked = null;
  tip.hidden = true;
};

// Show the values of the chart under the pointer.
const hover = (event) => {
  const svg = event.target.closest && event.target.closest("svg[data-hover]");
  clear();
  if (!svg) return;
  if (!hoverData.has(svg)) hoverData.set(svg, JSON.parse(svg.dataset.hover));
  const data = hoverData.get(svg);
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const [left, top, right, bottom] = data.box;
  if (point.x < left - 6 || point.x > right + 6 || point.y < top - 6 || point.y > bottom + 6) return;
  const result = find[data.kind](data, point.x, point.y);
  if (!result) return;
  const [lines, marks] = result;
  marked = svg;
  for (const [name, attributes] of marks) addShape(svg, name, attributes);
  tip.textContent = lines.join("\n");
  tip.hidden = false;
  const size = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - size.width - 8))}px`;
  tip.style.top = `${event.clientY + 18 + size.height > innerHeight ? event.clientY - size.height - 12 : event.clientY + 18}px`;
};
document.addEventListener("pointermove", hover);
document.addEventListener("pointerdown", hover);
document.addEventListener("scroll", clear, { passive: true, capture: true });
