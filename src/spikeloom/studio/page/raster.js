// A raster of one trial: one row per neuron, the population rate below, replay with sound, and the choice of a neuron.

import { Clock } from "./clock.js";
import { clamp, counted, make, range, roundStep, formatNumber } from "./dom.js";
import { Listener } from "./listen.js";
import { fit, redraw, rem, rowColours, theme } from "./theme.js";

/** Paint the spikes of all neurons into a box [left, top, width, height]. */
export function paintSpikes(context, box, data, colours, chosen = null) {
  const [left, top, width, height] = box;
  const step = width / data.bins;
  const row = height / data.order.length;
  const [tickWidth, tickHeight] = [clamp(step * 0.8, 1, 2.4), Math.max(1, row * 0.84)];
  data.order.forEach((neuron, k) => {
    context.fillStyle = colours[k];
    context.globalAlpha = chosen === null || chosen === k ? 1 : 0.22;
    const bins = data.spikes[neuron];
    bins.forEach((bin, spike) => {
      const shift = spike && bins[spike - 1] === bin ? 0.35 : 0; // two spikes of a bin do not hide each other
      const x = left + (bin + 0.5 + shift) * step;
      context.fillRect(x - tickWidth / 2, top + k * row + (row - tickHeight) / 2, tickWidth, tickHeight);
    });
  });
  context.globalAlpha = 1;
}

/** Return the mean rate of the neurons in each bin, in spikes/s, averaged over about `window` seconds. */
export function populationRate(spikes, bins, binWidth, window = 0.06) {
  const counts = new Float64Array(bins);
  for (const neuron of spikes) for (const bin of neuron) if (bin < bins) counts[bin] += 1;
  const half = Math.max(0, Math.round(window / binWidth / 2));
  return range(bins).map((bin) => {
    const low = Math.max(0, bin - half);
    const high = Math.min(bins - 1, bin + half);
    let sum = 0;
    for (let k = low; k <= high; k += 1) sum += counts[k];
    return sum / ((high - low + 1) * binWidth * spikes.length);
  });
}

/** Return the data of a trial that a raster needs. */
export function trialData(spikes, bins, binWidth, order, rate = null) {
  return { spikes, bins, binWidth, order, rate: rate || populationRate(spikes, bins, binWidth) };
}

/** Return a small raster. With `choose`, it is a button that calls `choose()`. */
export function smallRaster(data, label, choose = null) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const content = [canvas, make("span", {}, label)];
  const element = choose ? make("button", { class: "multiple", type: "button" }, ...content) : make("div", { class: "multiple" }, ...content);
  if (choose) element.addEventListener("click", choose);
  redraw(canvas, () => {
    const { context, width, height } = fit(canvas);
    paintSpikes(context, [0, 2, width, height - 4], data, rowColours(data.order.length));
  });
  return element;
}

const SPEEDS = [[1, "real time"], [0.5, "half speed"], [0.25, "quarter speed"], [0.1, "tenth speed"]];

export class Raster {
  /** Build a raster inside an element; `bare` leaves out the population rate. */
  constructor(host, { clock = new Clock(), bare = false, name = "Raster" } = {}) {
    Object.assign(this, { clock, bare, name, data: null, chosen: null, growing: false, span: 0 });
    this.listener = new Listener(clock);
    this.canvas = make("canvas", { tabIndex: 0, role: "img" });
    this.canvas.setAttribute("aria-label", `${name}: empty`);
    host.append(make("div", { class: bare ? "raster bare" : "raster" }, this.canvas, this.transport()));
    this.base = document.createElement("canvas");
    redraw(this.canvas, () => this.repaint());
    clock.listen((_, event) => this.follow(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.follow("seek");
  }

  /** Return the row of controls below the raster: play, time, speed, sound and neuron. */
  transport() {
    this.play = make("button", { type: "button", disabled: true }, "Play");
    this.seek = make("input", { type: "range", min: 0, max: 1, step: 0.001, value: 1, class: "seek", disabled: true });
    this.seek.setAttribute("aria-label", "Time in the trial");
    this.output = make("output", {}, "");
    this.sound = make("button", { type: "button", title: "Each spike is a click" }, "Listen");
    this.sound.setAttribute("aria-pressed", "false");
    this.neuron = make("select", {});
    this.neuron.setAttribute("aria-label", "Neuron to listen to");
    const speed = make("select", {}, ...SPEEDS.map(([value, label]) => make("option", { value }, label)));
    speed.setAttribute("aria-label", "Speed");
    this.play.addEventListener("click", () => (this.clock.playing ? this.clock.pause() : this.clock.play()));
    this.seek.addEventListener("input", () => this.clock.seek(this.seek.value * this.clock.duration));
    this.sound.addEventListener("click", () => this.toggleSound());
    speed.addEventListener("change", () => this.clock.setSpeed(Number(speed.value)));
    this.neuron.addEventListener("change", () => this.choose(this.neuron.value === "" ? null : Number(this.neuron.value)));
    return make("div", { class: "transport" }, this.play, this.seek, this.output, speed, this.sound, this.neuron);
  }

  /** Switch the sound on or off. */
  toggleSound() {
    this.listener.toggle();
    this.sound.setAttribute("aria-pressed", String(this.listener.on));
    if (this.listener.on && !this.clock.playing) this.clock.play();
  }

  /** Show a complete trial; `clock.play()` then replays it. */
  show(data) {
    this.growing = false;
    this.setData(data);
    this.span = data.bins * data.binWidth;
    this.clock.load(this.span);
    this.listener.set(data, this.chosen);
    this.repaint();
  }

  /** Show nothing. */
  clear() {
    Object.assign(this, { data: null, growing: false, chosen: null, span: 0, summary: "" });
    this.clock.load(0);
    this.listener.set(null, null);
    this.neuron.replaceChildren();
    this.play.disabled = this.seek.disabled = true;
    this.canvas.setAttribute("aria-label", `${this.name}: empty`);
    this.repaint();
  }

  /** Store the data of a trial, and fill the list of neurons. */
  setData(data) {
    const rows = this.data?.order.length;
    this.data = data;
    if (rows !== data.order.length) {
      this.chosen = null;
      const options = data.order.map((neuron, row) => make("option", { value: row }, `neuron ${neuron}`));
      this.neuron.replaceChildren(make("option", { value: "" }, "all neurons"), ...options);
    }
    this.play.disabled = this.seek.disabled = false;
    this.describe();
  }

  /** Describe the trial in words, for the summary and for screen readers. */
  describe() {
    const { spikes, bins, binWidth } = this.data;
    const total = spikes.reduce((sum, spikesOfNeuron) => sum + spikesOfNeuron.length, 0);
    const rate = total / (spikes.length * bins * binWidth || 1);
    const chosen = this.chosen === null ? "" : ` Neuron ${this.data.order[this.chosen]} is chosen.`;
    this.summary = `${counted(total, "spike")} of ${counted(spikes.length, "neuron")} in ${formatNumber(bins * binWidth)} s, ${formatNumber(rate, 1)} spikes/s per neuron`;
    this.canvas.setAttribute("aria-label", `${this.name}: ${this.summary}.${chosen} Up and down arrows choose a neuron.`);
  }

  /** Begin to show a live trial. Return its data, which `push` extends. */
  begin(neurons, binWidth, order) {
    this.clock.load(0);
    this.growing = true;
    this.span = 1;
    this.setData({ spikes: range(neurons).map(() => []), bins: 0, binWidth, order, rate: [] });
    this.repaint();
    return this.data;
  }

  /** Add the spikes of a bin to a live trial. */
  push(data, bin, neurons) {
    for (const neuron of neurons) data.spikes[neuron].push(bin);
    data.bins = Math.max(data.bins, bin + 1);
    this.pending = this.pending || requestAnimationFrame(() => {
      this.pending = 0;
      data.rate = populationRate(data.spikes, data.bins, data.binWidth);
      if (!this.growing || this.data !== data) return;
      while (data.bins * data.binWidth > this.span) this.span *= 1.5;
      this.repaint();
    });
  }

  /** Choose the neuron of a row, or all neurons with null. */
  choose(row) {
    this.chosen = row;
    this.neuron.value = row === null ? "" : String(row);
    if (!this.data) return;
    this.listener.set(this.data, row);
    this.describe();
    this.repaint();
  }

  /** Choose the neuron under the pointer. A second click chooses all neurons again. */
  point(event) {
    if (!this.data) return;
    const [, top, , height] = this.box;
    const row = Math.floor(((event.offsetY - top) / height) * this.data.order.length);
    if (row >= 0 && row < this.data.order.length) this.choose(row === this.chosen ? null : row);
  }

  /** Choose a neuron, or play the trial, with the keyboard. */
  key(event) {
    if (!this.data) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.choose(clamp((this.chosen ?? (step > 0 ? -1 : this.data.order.length)) + step, 0, this.data.order.length - 1));
    else if (event.key === "Escape") this.choose(null);
    else if (event.key === " ") this.play.click();
    else return;
    event.preventDefault();
  }

  /** Show the time of the clock in the controls and in the raster. */
  follow(event) {
    this.play.textContent = this.clock.playing ? "Pause" : "Play";
    this.seek.value = this.clock.duration ? this.clock.time / this.clock.duration : 1;
    this.output.textContent = this.clock.duration ? `${formatNumber(this.clock.time)} of ${formatNumber(this.clock.duration)} s` : "";
    if (event === "time" || event === "seek" || event === "pause") this.frame();
  }

  /** Paint the spikes onto a hidden canvas, from which `frame` copies them. */
  repaint() {
    const { width, height } = fit(this.canvas);
    if (!width) return;
    const unit = rem();
    const left = 2.6 * unit;
    const rateHeight = this.bare ? 0 : Math.max(3.4 * unit, height * 0.17);
    const bottom = 1.9 * unit;
    const gap = this.bare ? 0 : 0.9 * unit;
    // the boxes of the spikes and of the rate: left, top, width and height in pixels
    this.box = [left, 4, width - left - 6, Math.max(10, height - bottom - rateHeight - gap - 4)];
    this.rateBox = [left, this.box[1] + this.box[3] + gap, this.box[2], rateHeight];
    if (this.data) {
      this.base.width = this.canvas.width;
      this.base.height = this.canvas.height;
      const context = this.base.getContext("2d");
      context.setTransform(this.canvas.width / width, 0, 0, this.canvas.width / width, 0, 0);
      // a live trial fills only the part of the box for the bins that it has so far
      const box = [this.box[0], this.box[1], (this.box[2] * this.data.bins * this.data.binWidth) / this.span, this.box[3]];
      if (this.data.bins) paintSpikes(context, box, this.data, rowColours(this.data.order.length), this.chosen);
    }
    this.frame();
  }

  /** Paint the raster at the present time of the replay. */
  frame() {
    if (!this.box || !this.canvas.clientWidth) return;
    const { context, width, height } = fit(this.canvas);
    this.paintAxes(context);
    if (!this.data) return;
    const [left, top, plotWidth, plotHeight] = this.box;
    const time = this.growing ? this.data.bins * this.data.binWidth : this.clock.time;
    const x = left + (plotWidth * time) / (this.span || 1);
    const ratio = this.base.width / width;
    const copy = (from, to, alpha) => {
      if (to - from < 1 || !this.base.width) return;
      context.globalAlpha = alpha;
      context.drawImage(this.base, from * ratio, 0, (to - from) * ratio, this.base.height, from, 0, to - from, height);
      context.globalAlpha = 1;
    };
    const atEnd = !this.growing && time >= this.span - 1e-9;
    copy(0, atEnd ? width : x, 1);
    if (!atEnd && !this.clock.playing && !this.growing) copy(x, width, 0.14);
    if (!this.bare) this.paintRate(context, atEnd ? width : x);
    if (atEnd) return;
    const glow = context.createLinearGradient(x - 40, 0, x, 0);
    glow.addColorStop(0, "transparent");
    glow.addColorStop(1, theme().accent);
    context.globalAlpha = 0.13;
    context.fillStyle = glow;
    context.fillRect(Math.max(left, x - 40), top, x - Math.max(left, x - 40), plotHeight);
    context.globalAlpha = 1;
    context.fillStyle = theme().accent;
    const bottom = this.bare ? top + plotHeight : this.rateBox[1] + this.rateBox[3];
    context.fillRect(x - 0.75, top, 1.5, bottom - top);
  }

  /** Paint the time axis and the labels. */
  paintAxes(context) {
    const colours = theme();
    const unit = rem();
    const [left, top, width, height] = this.box;
    const bottom = this.bare ? top + height : this.rateBox[1] + this.rateBox[3];
    context.font = `${0.75 * unit}px system-ui, sans-serif`;
    context.fillStyle = colours.soft;
    context.strokeStyle = colours.grid;
    context.textAlign = "center";
    context.textBaseline = "top";
    const span = this.span || 1;
    const step = roundStep(span, Math.max(2, width / (4 * unit)));
    for (const k of range(Math.floor(span / step + 1e-6) + 1)) {
      const x = left + (width * k * step) / span;
      context.beginPath();
      context.moveTo(x, top);
      context.lineTo(x, bottom);
      context.stroke();
      const last = k === Math.floor(span / step + 1e-6);
      const text = Number((k * step).toPrecision(6)).toString();
      context.textAlign = last && x > left + width - 2 * unit ? "right" : "center";
      context.fillText(last ? `${text} s` : text, last && x > left + width - 2 * unit ? x + 4 : x, bottom + 0.35 * unit);
    }
    const upright = (text, y) => {
      context.save();
      context.translate(0.9 * unit, y);
      context.rotate(-Math.PI / 2);
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(text, 0, 0);
      context.restore();
    };
    upright(this.data ? counted(this.data.order.length, "neuron") : "neurons", top + height / 2);
    if (!this.bare) upright("spikes/s", this.rateBox[1] + this.rateBox[3] / 2);
  }

  /** Paint the population rate up to a pixel. */
  paintRate(context, until) {
    const [left, top, width, height] = this.rateBox;
    const { rate, binWidth } = this.data;
    if (!rate?.length) return;
    const scale = this.data.rateScale ?? Math.max(1e-9, ...rate);
    const point = (bin) => [left + (width * (bin + 0.5) * binWidth) / (this.span || 1), top + height * (1 - (0.92 * rate[bin]) / scale)];
    context.save();
    context.beginPath();
    context.rect(left, top, Math.max(0, until - left), height);
    context.clip();
    context.beginPath();
    rate.forEach((_, bin) => context.lineTo(...point(bin)));
    context.strokeStyle = theme().ink;
    context.lineWidth = 1.6;
    context.stroke();
    context.lineTo(point(rate.length - 1)[0], top + height);
    context.lineTo(point(0)[0], top + height);
    context.globalAlpha = 0.08;
    context.fillStyle = theme().ink;
    context.fill();
    context.restore();
    context.fillStyle = theme().soft;
    context.textAlign = "right";
    context.textBaseline = "top";
    context.fillText(formatNumber(scale, scale < 10 ? 1 : 0), left - 4, top);
  }
}
