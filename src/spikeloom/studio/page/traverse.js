// The tab Traverse: move the code of a recorded trial along behavioural variables and see the spikes change.

import { request } from "./api.js";
import { lineChart } from "./charts.js";
import { $, busy, clamp, make, showError, showStatus, formatNumber } from "./dom.js";
import { Field, legend } from "./field.js";
import { SavePanel } from "./save.js";
import { writeLink } from "./link.js";
import { picture } from "./picture.js";
import { Raster, trialData } from "./raster.js";

/** Return a number with three significant digits. */
const short = (value) => String(Number(Number(value).toPrecision(3))).replace("-", "\u2212");

export class TraverseTab {
  constructor() {
    this.raster = new Raster($("traverse-raster"), { name: "Generated spikes" });
    this.field = new Field($("traverse-field"));
    this.savePanel = new SavePanel($("traverse-save"), "traversal");
    $("reset-form").addEventListener("submit", (event) => { event.preventDefault(); this.reset(Number($("trial").value)); });
    $("trial-random").addEventListener("click", () => this.reset(Math.floor(Math.random() * this.model.training.trials)));
    for (const id of ["pad-x", "pad-y"]) $(id).addEventListener("change", () => this.paintPad());
    $("pad").addEventListener("pointerdown", (event) => { $("pad").setPointerCapture(event.pointerId); this.point(event); });
    $("pad").addEventListener("pointermove", (event) => { if ($("pad").hasPointerCapture(event.pointerId)) this.point(event); });
    $("pad").addEventListener("keydown", (event) => this.key(event));
  }

  /** Show a model: one slider for each variable along which a code can be moved. */
  setModel(model) {
    Object.assign(this, { model, result: null, values: {}, trial: 0, start: null, nextBody: null, running: false });
    this.raster.clear();
    this.savePanel.hide();
    $("traverse-more").hidden = true;
    this.variables = model.codes?.variables || [];
    $("sliders").replaceChildren(...this.variables.map((variable) => this.slider(variable)));
    const first = Math.max(0, this.variables.findIndex(({ name }) => name.includes("target")));
    for (const [k, id] of ["pad-x", "pad-y"].entries()) {
      $(id).replaceChildren(...this.variables.map(({ name }) => make("option", { value: name }, name)));
      $(id).selectedIndex = Math.min(first + k, this.variables.length - 1);
    }
    $("trial").max = String(model.training.trials - 1);
    if (model.extent) this.field.setModel(model);
    $("traverse-summary").textContent = "";
  }

  /** Return the slider of a variable. */
  slider(variable) {
    const [low, high] = variable.range;
    const input = make("input", { type: "range", min: low, max: high, step: (high - low) / 200 || "any", value: (low + high) / 2 });
    const output = make("span", { class: "value" });
    variable.input = input;
    variable.write = () => { output.textContent = `${short(input.value)} ${variable.unit || ""}`; };
    input.addEventListener("input", () => { this.values[variable.name] = Number(input.value); variable.write(); this.paintPad(); this.generate(); });
    variable.write();
    return make("label", { class: "slider" }, variable.name, output, input);
  }

  /** Load the first trial when the tab is opened. */
  shown() {
    if (!this.result && this.model.abilities.traverse) this.reset(this.trial, this.link);
  }

  /** Stop the replay when another tab is opened. */
  hide() {
    this.raster.clock.pause();
  }

  /** Read the trial and the values of a link. */
  restore(fields) {
    this.trial = clamp(Math.floor(Number(fields.get("trial")) || 0), 0, this.model.training.trials - 1);
    try {
      this.link = JSON.parse(fields.get("values") || "null");
    } catch {
      this.link = null; // a damaged link changes nothing
    }
  }

  // pad ---------------------------------------------------------------------------------------------------------

  /** Return the two variables of the pad: horizontal and vertical. */
  axes() {
    return ["pad-x", "pad-y"].map((id) => this.variables.find(({ name }) => name === $(id).value));
  }

  /** Move the dot of the pad to the values of the two sliders. */
  paintPad() {
    const [across, up] = this.axes();
    if (!across || !up) return;
    const fraction = ({ input }) => (Number(input.value) - Number(input.min)) / (Number(input.max) - Number(input.min) || 1);
    $("pad-dot").style.left = `${100 * fraction(across)}%`;
    $("pad-dot").style.top = `${100 * (1 - fraction(up))}%`;
    $("pad").setAttribute("aria-label", `${across.name} ${short(across.input.value)}, ${up.name} ${short(up.input.value)}. Arrow keys move both.`);
  }

  /** Set a variable to a fraction of its range, from 0 to 1. */
  set(variable, fraction) {
    const [low, high] = variable.range;
    variable.input.value = String(low + clamp(fraction, 0, 1) * (high - low));
    this.values[variable.name] = Number(variable.input.value);
    variable.write();
  }

  /** Set both variables of the pad from a pointer event. */
  point(event) {
    const box = $("pad").getBoundingClientRect();
    const [across, up] = this.axes();
    this.set(across, (event.clientX - box.left) / box.width);
    this.set(up, 1 - (event.clientY - box.top) / box.height);
    this.paintPad();
    this.generate();
  }

  /** Change a variable of the pad with an arrow key. */
  key(event) {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const variable = this.axes()[step[0]];
    const [low, high] = variable.range;
    this.set(variable, (Number(variable.input.value) - low) / (high - low || 1) + 0.05 * step[1]);
    this.paintPad();
    this.generate();
  }

  // generation --------------------------------------------------------------------------------------------------

  /** Start from the code of a recorded trial. With the values of a link, move the code to these values. */
  async reset(trial, values = null) {
    this.trial = clamp(Math.round(trial) || 0, 0, this.model.training.trials - 1);
    this.link = null;
    $("trial").value = String(this.trial);
    const result = await this.send({ reset_to_trial: this.trial, seed: 1 });
    if (!result) return;
    this.start = result;
    this.values = { ...result.values, ...values };
    for (const variable of this.variables) {
      const value = this.values[variable.name];
      if (!Number.isFinite(value)) continue;
      variable.input.value = String(value);
      variable.write();
    }
    this.paintPad();
    if (values) this.generate();
    else this.show(result, { reset_to_trial: this.trial, seed: 1 });
  }

  /** Send the present values. If values change before the answer arrives, only the latest values are sent after it. */
  async generate() {
    this.nextBody = { values: { ...this.values }, trial: this.trial, seed: 1 };
    if (this.running) return;
    this.running = true;
    while (this.nextBody) {
      const body = this.nextBody;
      this.nextBody = null;
      const result = await this.send(body);
      if (result && !this.nextBody) this.show(result, body);
    }
    this.running = false;
  }

  /** Request a trial. Return null if the request fails, or if another model was chosen meanwhile. */
  async send(body) {
    const { model } = this;
    showError(null);
    try {
      const result = await busy(request(`/api/models/${model.id}/traverse`, body));
      return model === this.model ? result : null;
    } catch (error) {
      if (model === this.model) showError(error.message);
      return null;
    }
  }

  /** Show a result. `body` is the request that produced it. */
  show(result, body) {
    this.result = result;
    const { model } = this;
    const moved = body.values ? JSON.stringify(body.values) : null;
    writeLink({ model: model.id, tab: "traverse", trial: this.trial, values: moved });
    this.raster.show(trialData(result.spikes, result.bins ?? model.bins, result.bin_width ?? model.bin_width, model.neuron_order));
    $("traverse-more").hidden = false;
    this.rates(result);
    this.path(result);
    const distance = result.nearest_training_distance;
    const typical = result.typical_training_distance;
    const between = typical ? ` (between training codes: ${formatNumber(typical)})` : "";
    const sentence = distance === null || distance === undefined ? "" : `Distance to the nearest training code: ${formatNumber(distance)}${between}.`;
    $("traverse-distance").textContent = sentence;
    $("traverse-summary").textContent = `${this.raster.summary}. ${sentence}`;
    showStatus($("traverse-summary").textContent);
    this.savePanel.offer(model.id, { kind: "traverse", ...body }, () => this.picture());
  }

  /** Draw the rates of the neurons that change most. */
  rates({ rates, bin_width: binWidth }) {
    $("traverse-rates").replaceChildren(...rates.neurons.slice(0, 6).map((neuron, k) => lineChart(`neuron ${neuron}`, [
      { name: "recorded trial's code", kind: "start", values: rates.start_hz?.[k] },
      { name: "moved code", kind: "generated", values: rates.hz[k] },
    ], binWidth ?? this.model.bin_width)));
  }

  /** Draw the decoded path of the moved code, and of the code of the recorded trial. */
  path({ decoded }) {
    $("traverse-field").closest(".card").hidden = !decoded || !this.model.extent;
    if (!decoded || !this.model.extent) return;
    const start = this.start?.decoded || decoded;
    this.field.show({ path: start, decoded, raw: null, binWidth: this.model.bin_width });
    legend($("traverse-legend"), [["trail", "training paths"], ["hand", "code of the recorded trial"], ["generated", "moved code"]]);
    const last = decoded[decoded.length - 1];
    $("traverse-field").setAttribute("aria-label", `Decoded path; it ends at ${short(last[0])}, ${short(last[1])} ${this.model.path_unit || ""}`);
  }

  /** Return an SVG picture of the present trial as text. */
  picture() {
    const { model, result } = this;
    const values = Object.entries(this.values).map(([name, value]) => `${name} ${short(value)}`).join(", ");
    return picture({
      title: "Spikes generated for a moved code",
      caption: `Model ${model.name} (${model.kind}), from recorded trial ${this.trial}: ${values}. spikeloom studio.`,
      data: this.raster.data,
      field: result.decoded && model.extent
        ? { extent: model.extent, training: model.training_paths, path: this.start?.decoded || result.decoded, decoded: result.decoded, unit: model.path_unit }
        : null,
    });
  }
}
