// Controls for the conditions of a trial: a dial for an angle, buttons for categories, a slider for a number.

import { make, shape, formatNumber } from "./dom.js";

/** Convert the value of an angle to degrees. */
const degrees = (condition, value) => (condition.unit === "rad" ? (value * 180) / Math.PI : value);
/** Convert degrees to a value in the unit of the condition. */
const fromDegrees = (condition, value) => (condition.unit === "rad" ? (value * Math.PI) / 180 : value);

/** Return a dial for an angle. */
function dial(condition, change) {
  const svg = shape("svg", { viewBox: "-110 -110 220 220", role: "slider", tabindex: 0, "aria-label": condition.name });
  svg.append(shape("circle", { class: "ring", r: 100 }));
  const position = (angle, radius) => [radius * Math.cos((angle * Math.PI) / 180), -radius * Math.sin((angle * Math.PI) / 180)];
  for (const level of condition.levels) {
    const angle = degrees(condition, Number(level));
    const [from, to] = [position(angle, 86), position(angle, 98)];
    svg.append(shape("path", { class: "level", d: `M${from}L${to}` }));
  }
  const hand = shape("path", { class: "hand" });
  const knob = shape("circle", { class: "knob", r: 11 });
  svg.append(hand, knob);
  const output = make("output", {});
  let value = degrees(condition, Number(condition.levels[0] ?? condition.range?.[0] ?? 0));
  const low = degrees(condition, condition.range?.[0] ?? 0);
  const set = (angle, report = true) => {
    value = ((((angle - low) % 360) + 360) % 360) + low;
    const tip = position(value, 78);
    hand.setAttribute("d", `M0 0L${tip}`);
    knob.setAttribute("cx", tip[0]);
    knob.setAttribute("cy", tip[1]);
    output.textContent = `${formatNumber(value, 0)}°`;
    svg.setAttribute("aria-valuenow", Math.round(value));
    svg.setAttribute("aria-valuemin", Math.round(low));
    svg.setAttribute("aria-valuemax", Math.round(low + 360));
    svg.setAttribute("aria-valuetext", `${Math.round(value)} degrees`);
    if (report) change();
  };
  const point = (event) => {
    const box = svg.getBoundingClientRect();
    const across = event.clientX - box.left - box.width / 2;
    const up = box.top + box.height / 2 - event.clientY;
    set(Math.round((Math.atan2(up, across) * 180) / Math.PI));
  };
  svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); point(event); });
  svg.addEventListener("pointermove", (event) => { if (svg.hasPointerCapture(event.pointerId)) point(event); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 5, ArrowUp: 5, ArrowLeft: -5, ArrowDown: -5, PageUp: 45, PageDown: -45 }[event.key];
    if (!step) return;
    set(value + step);
    event.preventDefault();
  });
  set(value, false);
  const element = make("div", { class: "dial" }, make("span", { class: "soft" }, condition.name), svg, output);
  return { element, value: () => fromDegrees(condition, value), set: (level) => set(degrees(condition, Number(level)), false) };
}

/** Return buttons for a category. */
function choices(condition, change) {
  const inputs = condition.levels.map((level, k) => make("input", { type: "radio", name: `condition-${condition.name}`, value: String(level), checked: k === 0 }));
  for (const input of inputs) input.addEventListener("change", change);
  const labels = inputs.map((input, k) => make("label", {}, input, String(condition.levels[k])));
  const element = make("fieldset", {}, make("legend", {}, condition.name), make("div", { class: "choices" }, ...labels));
  const value = () => condition.levels[Math.max(0, inputs.findIndex((input) => input.checked))];
  return { element, value, set: (level) => inputs.forEach((input) => { input.checked = input.value === String(level); }) };
}

/** Return a slider for a number. */
function slider(condition, change) {
  const [low, high] = condition.range || [0, 1];
  const input = make("input", { type: "range", min: low, max: high, step: "any", value: condition.levels[0] ?? (low + high) / 2 });
  const output = make("span", { class: "value" });
  const write = () => { output.textContent = `${Number(Number(input.value).toPrecision(3))} ${condition.unit || ""}`; };
  input.addEventListener("input", write);
  input.addEventListener("change", change);
  write();
  const element = make("label", { class: "slider" }, condition.name, output, input);
  return { element, value: () => Number(input.value), set: (level) => { input.value = level; write(); } };
}

/** Return a control for a condition, with `element`, `value()` and `set(level)`. It calls `change()` when the user changes the value. */
export function control(condition, change) {
  if (condition.kind === "angle") return dial(condition, change);
  return condition.kind === "category" ? choices(condition, change) : slider(condition, change);
}
