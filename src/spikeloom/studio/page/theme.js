// Colours of drawings: those of the style sheet, and one colour for each row of a raster.

let current = null; // colours of the present scheme, read once
const listeners = new Set();
const scheme = matchMedia("(prefers-color-scheme: dark)");

scheme.addEventListener("change", () => {
  current = null;
  for (const listener of listeners) listener();
});

/** Return the colours of the style sheet by name. */
export function theme() {
  if (!current) {
    const style = getComputedStyle(document.documentElement);
    const names = ["page", "card", "ink", "soft", "line", "grid", "field", "accent", "recorded", "generated", "trail"];
    current = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    current.dark = scheme.matches;
  }
  return current;
}

/** Call `listener` when the page changes between light and dark. */
export const onTheme = (listener) => listeners.add(listener);

/** Return a linear colour channel as an sRGB value from 0 to 255. */
const gamma = (value) => {
  const clipped = Math.max(0, Math.min(1, value));
  return Math.round(255 * (clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055));
};

/** Return the hexadecimal colour of OKLCH coordinates (Ottosson 2020), hue in degrees. */
export function oklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const channels = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return `#${channels.map((value) => gamma(value).toString(16).padStart(2, "0")).join("")}`;
}

/** Return one colour per row, of equal lightness. From the first row to the last, the hue runs once around the colour circle. */
export function rowColours(count, dark = theme().dark) {
  return Array.from({ length: count }, (_, row) => oklch(dark ? 0.78 : 0.55, dark ? 0.11 : 0.13, 235 + (360 * row) / Math.max(count, 1)));
}

/** Return the colour of a fraction between 0 (the colour of the card) and 1 (the strongest colour). */
export function heatColour(fraction, dark = theme().dark) {
  const value = Math.max(0, Math.min(1, fraction));
  if (dark) return oklch(0.22 + 0.66 * value, 0.02 + 0.1 * value, 250 - 170 * value);
  return oklch(0.98 - 0.68 * value, 0.01 + 0.1 * Math.sin(Math.PI * value * 0.8), 95 + 160 * value);
}

/** Set the resolution of a canvas to its size on the screen. Return its context in CSS pixels, and its size. */
export function fit(canvas) {
  const ratio = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Return the size of one rem in pixels. Drawings use it to give their text the size of the page's text. */
export const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

/** Call `draw` when the size of an element or the colours of the page change. */
export function redraw(element, draw) {
  new ResizeObserver(() => element.clientWidth && draw()).observe(element);
  onTheme(() => element.clientWidth && draw());
}
