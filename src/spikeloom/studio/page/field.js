// The field on which the user draws a hand path. It shows the training paths, the stroke and its replay, and decoded paths.

import { make, roundStep } from "./dom.js";
import { fit, redraw, rem, theme } from "./theme.js";

const TAU = 0.07; // time constant with which the pen of the keyboard reaches its speed, s

export class Field {
  /** Build the field on a canvas. `onStart`, `onMove(points)` and `onEnd(points)` report strokes. */
  constructor(canvas, handlers = null) {
    Object.assign(this, { canvas, handlers: handlers || {}, model: null, pen: null, points: [], shown: null, time: Infinity, pressed: new Set() });
    redraw(canvas, () => this.paint());
    if (!handlers) return;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.discard());
    canvas.addEventListener("keydown", (event) => this.keyDown(event));
    canvas.addEventListener("keyup", (event) => this.pressed.delete(event.key));
    canvas.addEventListener("blur", () => { this.pressed.clear(); if (this.pen === "keyboard") this.discard(); });
  }

  /** Show the training paths of a model. */
  setModel(model) {
    this.discard();
    this.model = model;
    this.shown = null;
    this.hand = null;
    this.paint();
  }

  /** Show a result: the requested path `path`, the raw stroke `raw` or null, and the decoded path `decoded` or null. */
  show(shown) {
    this.shown = shown;
    this.points = [];
    this.time = Infinity;
    this.paint();
  }

  /** Show the paths up to a time in seconds. */
  setTime(time, duration) {
    this.time = time >= duration ? Infinity : time;
    this.paint();
  }

  // positions ---------------------------------------------------------------------------------------------------

  /** Return the scale, equal in both directions, and the pixel of the origin. The training paths lie in the middle. */
  layout() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [xmin, xmax, ymin, ymax] = this.model.extent;
    const scale = Math.min(width / ((xmax - xmin) * 1.16), height / ((ymax - ymin) * 1.16));
    return { scale, x: width / 2 - (scale * (xmin + xmax)) / 2, y: height / 2 + (scale * (ymin + ymax)) / 2 };
  }

  /** Return the pixel of a position. */
  pixel([x, y]) {
    const layout = this.layout();
    return [layout.x + layout.scale * x, layout.y - layout.scale * y];
  }

  /** Return the position of a pointer event. */
  position(event) {
    const box = this.canvas.getBoundingClientRect();
    const layout = this.layout();
    return [(event.clientX - box.left - layout.x) / layout.scale, (layout.y - event.clientY + box.top) / layout.scale];
  }

  // pointer -----------------------------------------------------------------------------------------------------

  /** Begin a stroke at a position. `kind` is the id of the pointer, or "keyboard"; `stamp` is the time in ms. */
  begin(kind, point, stamp) {
    Object.assign(this, { pen: kind, points: [[...point, 0]], shown: null, origin: stamp, hand: point });
    this.handlers.onStart(this.points);
    this.paint();
  }

  /** Add a position to the stroke, unless its time is not later than the last one. */
  add(point, stamp) {
    const time = (stamp - this.origin) / 1000;
    if (time <= this.points[this.points.length - 1][2]) return;
    this.points.push([...point, time]);
    this.hand = point;
  }

  /** Begin a stroke when the pointer is pressed. */
  down(event) {
    if (!this.model || event.button > 0 || this.pen) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.begin(event.pointerId, this.position(event), event.timeStamp);
  }

  /** Add the positions of a pointer event to the stroke. */
  move(event) {
    if (this.pen !== event.pointerId) return;
    const events = event.getCoalescedEvents?.() || [];
    for (const sample of events.length ? events : [event]) this.add(this.position(sample), sample.timeStamp);
    this.handlers.onMove(this.points);
    this.paint();
  }

  /** End the stroke when the pointer is released. */
  up(event) {
    if (this.pen !== event.pointerId) return;
    this.add(this.position(event), event.timeStamp);
    this.end();
  }

  /** End the stroke, and report its points. */
  end() {
    const points = this.points;
    this.pen = null;
    this.pressed.clear();
    this.paint();
    this.handlers.onEnd(points);
  }

  /** Discard the stroke, and report an empty list of points. */
  discard() {
    if (this.pen === null) return;
    this.pen = null;
    this.points = [];
    this.handlers.onEnd?.([]);
    this.paint();
  }

  // keyboard ----------------------------------------------------------------------------------------------------

  /** Begin, end or discard a stroke of the keyboard, or note a pressed arrow key. */
  keyDown(event) {
    if (!this.model) return;
    if (event.key === " " || event.key === "Enter") {
      if (event.repeat) return;
      if (this.pen === "keyboard") this.end();
      else if (this.pen === null) this.keyboardStroke();
    } else if (event.key === "Escape") this.discard();
    else if (event.key.startsWith("Arrow")) this.pressed.add(event.key);
    else return;
    event.preventDefault();
  }

  /** Begin a stroke whose velocity follows the pressed arrow keys with the time constant `TAU`. */
  keyboardStroke() {
    const [xmin, xmax, ymin, ymax] = this.model.extent;
    const first = this.model.training_paths[0]?.[0] || [(xmin + xmax) / 2, (ymin + ymax) / 2];
    const speed = 0.7 * Math.max(xmax - xmin, ymax - ymin);
    let last = performance.now();
    let velocity = [0, 0];
    this.begin("keyboard", [...first], last);
    const step = (now) => {
      if (this.pen !== "keyboard") return;
      const seconds = Math.min(0.1, Math.max(0, (now - last) / 1000));
      last = Math.max(last, now);
      const key = (name) => (this.pressed.has(name) ? 1 : 0);
      const direction = [key("ArrowRight") - key("ArrowLeft"), key("ArrowUp") - key("ArrowDown")];
      const weight = 1 - Math.exp(-seconds / TAU);
      velocity = velocity.map((value, k) => value + weight * (speed * direction[k] - value));
      this.add([this.hand[0] + velocity[0] * seconds, this.hand[1] + velocity[1] * seconds], now);
      this.handlers.onMove(this.points);
      this.paint();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  // drawing -----------------------------------------------------------------------------------------------------

  /** Paint the whole field. */
  paint() {
    const { context, width, height } = fit(this.canvas);
    if (!this.model || !width) return;
    const colours = theme();
    const unit = rem();
    context.lineCap = context.lineJoin = "round";
    this.paintScale(context, width, height);
    for (const path of this.model.training_paths) this.line(context, path, colours.trail, Math.max(1, 0.08 * unit), 0.8);
    if (this.shown) this.paintShown(context, unit);
    if (this.points.length) {
      this.line(context, this.points, colours.ink, 0.2 * unit);
      this.dot(context, this.hand, colours.accent, 0.42 * unit);
    }
  }

  /** Paint a result up to the present time of the replay. `unit` is one rem in pixels. */
  paintShown(context, unit) {
    const colours = theme();
    const { path, decoded, raw, binWidth } = this.shown;
    const shownBins = this.time === Infinity ? path.length : Math.max(1, Math.ceil(this.time / binWidth));
    if (raw) this.line(context, raw, colours.soft, 0.1 * unit, 0.7, [2, 5]);
    this.line(context, path, colours.ink, 0.2 * unit, shownBins < path.length ? 0.13 : 1);
    this.line(context, path.slice(0, shownBins), colours.ink, 0.2 * unit);
    const dotInterval = Math.max(1, Math.round(0.05 / binWidth)); // bins in 50 ms
    for (let k = 0; k < shownBins; k += dotInterval) this.dot(context, path[k], colours.field, 0.055 * unit);
    if (decoded) this.line(context, decoded.slice(0, shownBins), colours.generated, 0.17 * unit);
    if (shownBins < path.length) this.dot(context, path[shownBins - 1], colours.accent, 0.42 * unit);
  }

  /** Paint a line through positions. */
  line(context, path, colour, width, alpha = 1, dash = []) {
    if (path.length < 2) return;
    context.beginPath();
    for (const point of path) context.lineTo(...this.pixel(point));
    context.globalAlpha = alpha;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** Paint a dot at a position. */
  dot(context, point, colour, radius) {
    context.beginPath();
    context.arc(...this.pixel(point), radius, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
  }

  /** Paint the grid, and a bar that shows the length of one step of the grid. */
  paintScale(context, width, height) {
    const colours = theme();
    const unit = rem();
    const { scale } = this.layout();
    const step = roundStep(width / scale, 6);
    const origin = this.pixel([0, 0]);
    context.strokeStyle = colours.grid;
    context.lineWidth = 1;
    const pixels = step * scale;
    for (let x = origin[0] - pixels * Math.ceil(origin[0] / pixels); x < width; x += pixels) this.rule(context, [x, 0], [x, height]);
    for (let y = origin[1] - pixels * Math.ceil(origin[1] / pixels); y < height; y += pixels) this.rule(context, [0, y], [width, y]);
    context.strokeStyle = context.fillStyle = colours.soft;
    context.lineWidth = 1.5;
    const [right, bottom] = [width - unit, height - 0.8 * unit];
    this.rule(context, [right - pixels, bottom], [right, bottom]);
    context.font = `${0.78 * unit}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    context.fillText(`${Number(step.toPrecision(3))} ${this.model.path_unit || ""}`, right - pixels / 2, bottom - 3);
  }

  /** Paint a straight line between two pixels. */
  rule(context, from, to) {
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  }
}

/** Fill the legend of a field. An entry is the style of a line and its text. */
export function legend(list, entries) {
  list.replaceChildren(...entries.map(([name, text]) => make("li", {}, make("i", { class: name }), text)));
}
