// Spikes as clicks. The sound of a whole trial is computed once and follows the clock of its raster.

import { clamp } from "./dom.js";

const CLICK = 0.004; // duration of a click, s
let context = null;

/** Return a pseudo-random number in [0, 1) that depends on its arguments only. */
function scatter(first, second) {
  const value = Math.sin(first * 127.1 + second * 311.7) * 43758.5453;
  return value - Math.floor(value);
}

/** Return the time in seconds and the row of each spike. The times are random within the bins of the spikes. */
export function clicksOf(data, chosen) {
  const rows = chosen === null ? data.order.map((_, row) => row) : [chosen];
  const clicks = [];
  for (const row of rows) {
    const neuron = data.order[row];
    // with k / 7, two spikes of one bin get different times
    data.spikes[neuron].forEach((bin, k) => clicks.push([(bin + scatter(neuron + 1, bin + k / 7)) * data.binWidth, row]));
  }
  return clicks;
}

/** Return stereo samples of a trial: each neuron has its pitch and its position between left and right. */
export function renderClicks(data, chosen, speed, rate) {
  const length = Math.ceil((((data.bins * data.binWidth) / speed) + 0.05) * rate);
  const sides = [new Float32Array(length), new Float32Array(length)];
  const samples = Math.round(CLICK * rate);
  const rows = Math.max(1, data.order.length - 1);
  for (const [time, row] of clicksOf(data, chosen)) {
    const start = Math.round((time / speed) * rate);
    const pitch = chosen === null ? 500 * 5 ** (row / rows) : 1100;
    const right = chosen === null ? 0.2 + (0.6 * row) / rows : 0.5;
    for (let k = 0; k < samples && start + k < length; k += 1) {
      const wave = Math.sin((2 * Math.PI * pitch * k) / rate) * Math.exp((-5 * k) / samples);
      sides[0][start + k] += wave * (1 - right);
      sides[1][start + k] += wave * right;
    }
  }
  const peak = Math.max(0.001, ...sides.map((side) => side.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)));
  const gain = Math.min(1, 0.5 / peak);
  for (const side of sides) side.forEach((value, k) => { side[k] = value * gain; });
  return sides;
}

/** Plays the spikes of a raster while its clock runs. */
export class Listener {
  constructor(clock) {
    this.on = false;
    this.data = null;
    this.chosen = null;
    this.source = null;
    clock.listen((now, event) => {
      if (event === "play") this.start(now);
      else if (event !== "time") this.stop();
    });
    this.clock = clock;
  }

  /** Switch the sound on or off. Browsers allow sound only after an action of the user, such as a click. */
  toggle() {
    this.on = !this.on;
    if (this.on) {
      context = context || new AudioContext();
      context.resume();
    }
    this.refresh();
  }

  /** Play other spikes from now on. */
  set(data, chosen) {
    this.data = data;
    this.chosen = chosen;
    this.refresh();
  }

  /** Begin the sound again with the present settings, if the clock runs. */
  refresh() {
    this.stop();
    if (this.clock.playing) this.start(this.clock);
  }

  /** Play the sound from the present time of the clock. */
  start(clock) {
    if (!this.on || !this.data || !context) return;
    const sides = renderClicks(this.data, this.chosen, clock.speed, context.sampleRate);
    const buffer = context.createBuffer(2, sides[0].length, context.sampleRate);
    sides.forEach((side, k) => buffer.copyToChannel(side, k));
    this.source = context.createBufferSource();
    this.source.buffer = buffer;
    this.source.connect(context.destination);
    this.source.start(0, clamp(clock.time / clock.speed, 0, buffer.duration));
  }

  /** Stop the sound. */
  stop() {
    this.source?.stop();
    this.source = null;
  }
}
