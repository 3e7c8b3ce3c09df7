// Small helpers for elements, numbers and messages.

/** Return the element with this id. */
export const $ = (id) => document.getElementById(id);

/** Return a new element. Text is always set as text, never as markup. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Return a new SVG element. */
export function shape(name, attributes = {}, text = null) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

/** Return a number as text, with `digits` decimals and a typographic minus sign. */
export function formatNumber(value, digits = 2) {
  if (value === null || value === undefined || Number.isNaN(value)) return "none";
  return Number(value).toFixed(digits).replace("-", "\u2212");
}

/** Return the median of the finite values, NaN if there are none. */
export const median = (values) => {
  const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : NaN;
};

/** Return the numbers from 0 to count - 1. */
export const range = (count) => Array.from({ length: count }, (_, k) => k);

/** Return the value, limited to [low, high]. */
export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Show the text of an error, or clear it with null. Screen readers announce it. */
export function showError(text) {
  $("error").hidden = !text;
  $("error").textContent = text || "";
}

/** Show what the page is doing. Screen readers announce it when they are idle. */
export function showStatus(text) {
  $("status").textContent = text;
}

/** Return a number with its noun: "1 trial", "3 trials". */
export const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

let running = 0; // number of promises that the progress line stands for

/** Wait for a promise, and show the progress line at the top of the page meanwhile. */
export async function busy(promise) {
  running += 1;
  $("busy").classList.add("on");
  try {
    return await promise;
  } finally {
    running -= 1;
    if (!running) $("busy").classList.remove("on");
  }
}

/** Return a function that runs `action` once, `wait` ms after its last call. */
export function settle(action, wait) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), wait);
  };
}

/** Return the smallest round step (1, 2 or 5 times a power of ten) that divides a range into at most `maxParts` parts. */
export function roundStep(width, maxParts) {
  const smallest = width / maxParts;
  const power = 10 ** Math.floor(Math.log10(smallest));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= smallest * 0.999);
}

/** Return whether the user prefers reduced motion. */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
