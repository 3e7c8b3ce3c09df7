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
  tabs.addEventListener("click", (event) => { const b = event.target.closest("button"); if (b) choose(b); });
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    choose(next); next.focus();
  });
  choose(buttons[0]);
}

const tip = document.getElementById("tip");
const hoverData = new WeakMap();  // drawing -> its data, read once
let marked = null;                // the drawing that has marks

const number = (v) => v === null || v === undefined ? "none" : String(v).replace("-", "\u2212");
const pixel = ([offset, factor, log], v) => v === null ? NaN : offset + factor * (log ? Math.log10(v) : v);
const value = ([offset, factor, log], p) => { const v = (p - offset) / factor; return log ? 10 ** v : v; };
const addShape = (svg, name, attributes) => {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, v] of Object.entries(attributes)) shape.setAttribute(key, v);
  svg.append(shape);
};

// One function for each kind of chart. It returns the lines of text and the marks to draw for a position of the pointer
// in pixels, as [lines, marks], or null if no value is near.
const find = {
  raster(data, x, y) {
    const row = Math.round(value(data.ay, y));
    if (row < 0 || row >= data.rows.length) return null;
    return [[data.rows[row], `${value(data.ax, x).toFixed(3)} s`], []];
  },
  lines(data, x, y) {
    let nearest = null;  // the value on the first axis that is nearest to the pointer
    let smallest = Infinity;
    for (const s of data.s) s.x.forEach((v, k) => {
      const distance = Math.abs(pixel(data.ax, v) - x);
      if (s.y[k] !== null && distance < smallest) { smallest = distance; nearest = v; }
    });
    if (nearest === null) return null;
    const [, top, , bottom] = data.box;
    const at = pixel(data.ax, nearest);
    const lines = [`${data.xl}: ${number(nearest)}`];
    const marks = [["path", { class: "cursor", d: `M${at} ${top}V${bottom}` }]];
    for (const s of data.s) {
      const k = s.x.indexOf(nearest);
      if (k < 0 || s.y[k] === null) continue;
      lines.push(`${s.n || data.yl}: ${number(s.y[k])}`);
      const height = pixel(data.ay, s.y[k]);
      if (height >= top - 1 && height <= bottom + 1) marks.push(["circle", { class: "spot", cx: at, cy: height, r: 3 }]);
    }
    return [lines, marks];
  },
  points(data, x, y) {
    let nearest = null;  // series and number of the nearest point
    let smallest = 24;   // pixels; points farther away are not shown
    for (const s of data.s) s.x.forEach((v, k) => {
      const distance = Math.hypot(pixel(data.ax, v) - x, pixel(data.ay, s.y[k]) - y);
      if (distance < smallest) { smallest = distance; nearest = [s, k]; }
    });
    if (nearest === null) return null;
    const [s, k] = nearest;
    const mark = { class: "spot", cx: pixel(data.ax, s.x[k]), cy: pixel(data.ay, s.y[k]), r: 5 };
    const title = [s.l[k], s.n].filter(Boolean).join(" \u00b7 ");
    return [[title, `${data.xl}: ${number(s.x[k])}`, `${data.yl}: ${number(s.y[k])}`].filter(Boolean), [["circle", mark]]];
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
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const [left, top, right, bottom] = data.box;
  if (at.x < left - 6 || at.x > right + 6 || at.y < top - 6 || at.y > bottom + 6) return;
  const result = find[data.kind](data, at.x, at.y);
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
