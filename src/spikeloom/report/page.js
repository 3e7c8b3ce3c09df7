"use strict";
// Tabs and hover. Without this script the page shows everything, one part below the other.

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
const known = new WeakMap();
let marked = null;

const number = (v) => v === null || v === undefined ? "none" : String(v).replace("-", "\u2212");
const pixel = ([offset, factor, log], v) => v === null ? NaN : offset + factor * (log ? Math.log10(v) : v);
const value = ([offset, factor, log], p) => { const v = (p - offset) / factor; return log ? 10 ** v : v; };
const shape = (svg, name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, v] of Object.entries(attributes)) made.setAttribute(key, v);
  svg.append(made);
  return made;
};

// Each finder gives [lines of text, marks on the drawing], or null where nothing is near.
const find = {
  raster(data, x, y) {
    const row = Math.round(value(data.ay, y));
    if (row < 0 || row >= data.rows.length) return null;
    return [[data.rows[row], `${value(data.ax, x).toFixed(3)} s`], []];
  },
  lines(data, x, y) {
    let best = null;
    for (const s of data.s) s.x.forEach((v, k) => {
      const away = Math.abs(pixel(data.ax, v) - x);
      if (s.y[k] !== null && (best === null || away < best[0])) best = [away, v];
    });
    if (best === null) return null;
    const at = pixel(data.ax, best[1]);
    const lines = [`${data.xl}: ${number(best[1])}`], marks = [["path", { class: "cursor", d: `M${at} ${data.box[1]}V${data.box[3]}` }]];
    for (const s of data.s) {
      const k = s.x.indexOf(best[1]);
      if (k < 0 || s.y[k] === null) continue;
      lines.push(`${s.n || data.yl}: ${number(s.y[k])}`);
      const up = pixel(data.ay, s.y[k]);
      if (up >= data.box[1] - 1 && up <= data.box[3] + 1) marks.push(["circle", { class: "spot", cx: at, cy: up, r: 3 }]);
    }
    return [lines, marks];
  },
  points(data, x, y) {
    let best = null;
    for (const s of data.s) s.x.forEach((v, k) => {
      const away = Math.hypot(pixel(data.ax, v) - x, pixel(data.ay, s.y[k]) - y);
      if (away < (best === null ? 24 : best[0])) best = [away, s, k];
    });
    if (best === null) return null;
    const [, s, k] = best;
    const mark = { class: "spot", cx: pixel(data.ax, s.x[k]), cy: pixel(data.ay, s.y[k]), r: 5 };
    const title = [s.l[k], s.n].filter(Boolean).join(" \u00b7 ");
    return [[title, `${data.xl}: ${number(s.x[k])}`, `${data.yl}: ${number(s.y[k])}`].filter(Boolean), [["circle", mark]]];
  },
};

const clear = () => {
  if (marked) for (const old of marked.querySelectorAll(".cursor, .spot")) old.remove();
  marked = null;
  tip.hidden = true;
};

const hover = (event) => {
  const svg = event.target.closest && event.target.closest("svg[data-hover]");
  clear();
  if (!svg) return;
  if (!known.has(svg)) known.set(svg, JSON.parse(svg.dataset.hover));
  const data = known.get(svg);
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const [left, top, right, bottom] = data.box;
  if (at.x < left - 6 || at.x > right + 6 || at.y < top - 6 || at.y > bottom + 6) return;
  const found = find[data.kind](data, at.x, at.y);
  if (!found) return;
  marked = svg;
  for (const [name, attributes] of found[1]) shape(svg, name, attributes);
  tip.textContent = found[0].join("\n");
  tip.hidden = false;
  const size = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - size.width - 8))}px`;
  tip.style.top = `${event.clientY + 18 + size.height > innerHeight ? event.clientY - size.height - 12 : event.clientY + 18}px`;
};
document.addEventListener("pointermove", hover);
document.addEventListener("pointerdown", hover);
document.addEventListener("scroll", clear, { passive: true, capture: true });
