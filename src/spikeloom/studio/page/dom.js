// Small helpers for elements, numbers and messages.

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

/** Write a number with a few significant digits and a true minus sign. */
export function words(value, digits = 2) {
  if (value === null || value === undefined || Number.isNaN(value)) return "none";
  return Number(value).toFixed(digits).replace("-", "\u2212");
}

export const median = (values) => {
  const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : NaN;
};

export const range = (count) => Array.from({ length: count }, (_, k) => k);

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Show an error in words, or clear it with null. Screen readers announce it. */
export function showError(text) {
  $("error").hidden = !text;
  $("error").textContent = text || "";
}

/** Show what the page is doing. Screen readers announce it when they are idle. */
export function showStatus(text) {
  $("status").textContent = text;
}

let running = 0;

/** Run a promise with the progress line at the top of the page. */
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

/** Return the largest of some round steps that divides a range into at most `most` parts. */
export function roundStep(width, most) {
  const least = width / most;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * 0.999);
}

/** Whether the person wants little motion. */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
