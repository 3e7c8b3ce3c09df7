// The tab Draw: a stroke becomes a movement, and the model generates the spikes of that movement.

import { Latest } from "./api.js";
import { bars } from "./charts.js";
import { Clock } from "./clock.js";
import { $, busy, calm, counted, settle, showError, showStatus, formatNumber } from "./dom.js";
import { Field, legend } from "./field.js";
import { SavePanel } from "./save.js";
import { writeLink } from "./link.js";
import { LiveTrial } from "./live.js";
import { picture } from "./picture.js";
import { Raster, smallRaster, trialData } from "./raster.js";
import { decode, encode, example, exponentOf, rounded } from "./stroke.js";

export class DrawTab {
  constructor() {
    this.clock = new Clock();
    this.raster = new Raster($("draw-raster"), { clock: this.clock, name: "Generated spikes" });
    this.field = new Field($("field"), {
      onStart: (points) => this.start(points),
      onMove: () => {},
      onEnd: (points) => this.end(points),
    });
    this.savePanel = new SavePanel($("draw-save"), "stroke");
    this.latest = new Latest();
    this.clock.listen((clock) => this.result && this.field.setTime(clock.time, clock.duration));
    for (const button of document.querySelectorAll("[data-example]")) button.addEventListener("click", () => this.useExample(button.dataset.example));
    $("again").addEventListener("click", () => { $("seed").value = String((Number($("seed").value) || 0) + 1); this.regenerate(); });
    const regenerateLater = settle(() => this.stroke && this.regenerate(), 200);
    for (const id of ["draws", "seed", "scale", "guidance", "smooth"]) $(id).addEventListener("change", regenerateLater);
    $("scale").addEventListener("input", () => this.showScale());
    $("live").addEventListener("change", () => this.showHint());
    for (const event of ["pointerenter", "focus"]) $("field").addEventListener(event, () => this.prepare());
  }

  /** Show a model, without a stroke. */
  setModel(model) {
    this.cancel();
    Object.assign(this, { model, stroke: null, result: null, selected: 0 });
    this.condition = model.conditions.find((condition) => condition.kind === "series" && condition.dims === 2);
    this.order = model.neuron_order;
    this.field.setModel(model);
    $("field").setAttribute("aria-label", `Field to draw a hand path on, in ${model.path_unit || "the unit of the recording"}`);
    $("live-choice").hidden = !model.abilities.live;
    $("live").checked = model.abilities.live;
    $("invite").classList.remove("gone");
    $("again").disabled = true;
    this.raster.clear();
    this.clear();
    this.showHint();
  }

  /** Remove all results from the page. */
  clear() {
    $("draw-multiples").replaceChildren();
    $("draw-summary").textContent = "Draw a movement, or choose an example stroke.";
    $("draw-warnings").replaceChildren();
    $("score").replaceChildren();
    this.savePanel.hide();
    legend($("field-legend"), [["trail", "training paths"]]);
  }

  /** Write how to draw, with or without live spikes. */
  showHint() {
    $("draw-hint").textContent = this.isLive()
      ? "Draw with the mouse, a pen or a finger. Spikes come while the hand moves."
      : "Draw with the mouse, a pen or a finger. The model follows the speed of your hand.";
  }

  /** Write the size of the stroke beside its slider. */
  showScale() {
    $("scale-value").textContent = `${Math.round(100 * $("scale").value)} %`;
  }

  /** Return whether spikes are generated while the hand moves. */
  isLive() {
    return this.model.abilities.live && $("live").checked;
  }

  /** Show the stroke of a link, or nothing. */
  restore(fields) {
    const points = fields.get("stroke") ? decode(fields.get("stroke")) : null;
    if (!points) return;
    for (const id of ["draws", "seed", "scale", "guidance"]) if (fields.has(id)) $(id).value = fields.get(id);
    $("smooth").checked = fields.get("smooth") !== "0";
    this.showScale();
    this.stroke = points;
    this.generate();
  }

  /** Stop the running request and the live trial. */
  cancel() {
    this.latest.cancel();
    this.trial?.close();
    this.trial = null;
  }

  /** Stop the replay and discard the stroke when another tab is opened. */
  hide() {
    this.clock.pause();
    this.field.discard();
    this.ready?.close();
  }

  // strokes -----------------------------------------------------------------------------------------------------

  /** Begin a stroke. Later points are appended to `points`. */
  start(points) {
    this.cancel();
    showError(null);
    $("invite").classList.add("gone");
    this.result = this.live = this.finished = null;
    this.clear();
    if (this.isLive()) this.startLive(points);
  }

  /** Open the connection of the next live trial before the stroke begins, so that the first spikes are not delayed. */
  prepare() {
    if (!this.model || !this.isLive() || this.field.pen !== null) return;
    const seed = this.body(1).seed;
    const { ready } = this;
    if (ready && !ready.closed && ready.model === this.model && ready.seed === seed) return;
    ready?.close();
    this.ready = new LiveTrial(this.model, this.condition, seed);
  }

  /** Begin the live trial of a stroke. */
  startLive(points) {
    $("draw-summary").textContent = "Spikes of the movement that you are drawing now.";
    const data = this.raster.begin(this.model.neurons, this.model.bin_width, this.order);
    const { seed } = this.body(1);
    const usable = this.ready && !this.ready.closed && this.ready.model === this.model && this.ready.seed === seed;
    this.trial = usable ? this.ready : new LiveTrial(this.model, this.condition, seed);
    this.ready = null;
    this.trial.begin(points, this.field.origin, (bin, neurons) => this.raster.push(data, bin, neurons), showError);
    const { trial } = this;
    this.finished = trial.done.then(() => {
      if (this.trial === trial && data.bins) this.live = Object.assign(data, { decoded: trial.decoded, r2: trial.r2 });
    });
  }

  /** End a stroke, and generate the spikes of the complete movement. */
  end(points) {
    performance.mark("stroke-end");
    this.latest.cancel();
    this.trial?.finish();
    if (!points.length) {
      this.cancel();
      this.raster.clear();
      showStatus("Stroke discarded.");
      return;
    }
    const stroke = rounded(points, exponentOf(this.model.extent));
    if (stroke.length < 2) {
      showStatus("A stroke needs a moving hand. Keep the pen down while you draw.");
      return;
    }
    this.stroke = stroke;
    this.generate();
  }

  /** Generate the spikes of an example stroke. */
  useExample(name) {
    this.cancel();
    performance.mark("stroke-end");
    $("invite").classList.add("gone");
    this.live = this.finished = null;
    this.stroke = rounded(example(name, this.model), exponentOf(this.model.extent));
    this.generate();
  }

  // generation --------------------------------------------------------------------------------------------------

  /** Return the body of a request for spikes of the stroke. */
  body(draws) {
    const guidance = $("guidance").value === "" ? null : Number($("guidance").value);
    const scale = Number($("scale").value);
    const seed = Math.round(Number($("seed").value) || 0);
    return { points: this.stroke, smooth: $("smooth").checked, bins: null, draws, scale, seed, guidance };
  }

  /** Generate new spikes for the stroke that is shown. */
  regenerate() {
    this.finished = null;
    this.generate();
  }

  /** Generate the first draw and show it, then generate all draws. */
  async generate() {
    showError(null);
    const path = `/api/models/${this.model.id}/draw`;
    const draws = Number($("draws").value);
    try {
      showStatus("Generating spikes.");
      const first = await busy(this.latest.run(path, this.body(1)));
      if (!first) return;
      this.show(first, this.body(1));
      this.measureLatency();
      const { finished } = this;
      const all = draws > 1 ? await busy(this.latest.run(path, this.body(draws))) : first;
      await finished; // wait for the live trial, if there is one
      if (all && (draws > 1 || this.live)) this.showMultiples(all, this.body(draws));
    } catch (error) {
      showStatus("");
      showError(error.message);
    }
  }

  /** Store the time from the end of the stroke to the first frame of its replay, as a measure that profilers can read. */
  measureLatency() {
    requestAnimationFrame(() => requestAnimationFrame(() => {
      if (performance.getEntriesByName("stroke-end").length) performance.measure("stroke-to-spikes", "stroke-end");
      performance.clearMarks("stroke-end");
    }));
  }

  /** Show the first draw of a result. `body` is the request that produced it. */
  show(result, body) {
    this.result = result;
    $("invite").classList.add("gone");
    this.select(0, false);
    $("again").disabled = false;
    $("draw-warnings").replaceChildren(...result.warnings.map((warning) => Object.assign(document.createElement("li"), { textContent: warning })));
    this.updateLink();
    this.offerFiles(body);
    if (this.finished || calm()) return;
    this.clock.time = 0;
    this.clock.play();
  }

  /** Write the model, the stroke and the settings into the address. */
  updateLink() {
    const { scale, seed, guidance, smooth } = this.body(1);
    const stroke = encode(this.stroke, exponentOf(this.model.extent));
    writeLink({ model: this.model.id, tab: "draw", seed, draws: $("draws").value, scale: scale === 1 ? null : scale, guidance, smooth: smooth ? null : 0, stroke });
  }

  /** Offer the trials of a request as files and as code. */
  offerFiles(body) {
    this.savePanel.offer(this.model.id, { kind: "draw", ...body }, () => this.picture());
  }

  /** Show small rasters of all draws, and of the live trial if there is one. */
  showMultiples(result, body) {
    this.result = result;
    const entries = result.draws.map((draw, k) => [this.data(draw), `draw ${k + 1}${draw.r2 === null ? "" : ` · R² ${formatNumber(draw.r2)}`}`, () => this.select(k)]);
    if (this.live) entries.push([this.live, `live, while you drew${this.live.r2 === null ? "" : ` · R² ${formatNumber(this.live.r2)}`}`, () => this.select(-1)]);
    $("draw-multiples").replaceChildren(...entries.map((entry) => smallRaster(...entry)));
    this.markSelected();
    this.offerFiles(body);
    const scores = result.draws.map((draw) => draw.r2).filter((score) => score !== null);
    if (scores.length) showStatus(`${counted(result.draws.length, "draw")} of the same stroke; R² between ${formatNumber(Math.min(...scores))} and ${formatNumber(Math.max(...scores))}.`);
  }

  /** Return the data of a draw for its raster. */
  data(draw) {
    return trialData(draw.spikes, this.result.bins, this.result.bin_width, this.order);
  }

  /** Mark the small raster of the selected draw. */
  markSelected() {
    [...$("draw-multiples").children].forEach((button, k, buttons) => {
      const chosen = k === this.selected || (this.selected < 0 && this.live && k === buttons.length - 1);
      button.setAttribute("aria-pressed", String(Boolean(chosen)));
    });
  }

  /** Show one draw in the large raster and its decoded path on the field; -1 is the live trial. */
  select(k, replay = true) {
    this.selected = k;
    const draw = k < 0 ? this.live : this.result.draws[k];
    this.raster.show(k < 0 ? this.live : this.data(draw));
    const raw = this.body(1).smooth || this.body(1).scale !== 1 ? this.stroke : null;
    this.field.show({ path: this.result.path, decoded: draw.decoded, raw, binWidth: this.result.bin_width });
    const entries = [["trail", "training paths"], ["hand", "hand path"]];
    if (raw) entries.push(["raw", "as drawn"]);
    if (draw.decoded) entries.push(["generated", "decoded from the spikes"]);
    legend($("field-legend"), entries);
    const name = k < 0 ? "Live trial" : `Draw ${k + 1}`;
    $("draw-summary").textContent = `${name}: ${this.raster.summary}.`;
    this.score(draw, name);
    this.markSelected();
    if (replay && !calm()) {
      this.clock.time = 0;
      this.clock.play();
    }
  }

  /** Show the R² of the series that is decoded from a draw, beside the R² of recorded trials. */
  score(draw, name) {
    if (draw.r2 === null) {
      $("score").replaceChildren();
      return;
    }
    const note = `R² between ${this.condition.name} of the hand path and the values that a linear decoder reads from the spikes. 1 is perfect, 0 is no better than the mean. The decoder was fitted to recorded trials. The value for recorded trials is computed from trials to which it was not fitted.`;
    const entries = [{ name: "Decoded from these spikes", kind: "generated", value: draw.r2 }];
    if (this.result.r2_real !== null) entries.push({ name: "Recorded trials", kind: "recorded", value: this.result.r2_real });
    $("score").replaceChildren(bars(entries, note));
    showStatus(`${name}: decoded ${this.condition.name} with R² ${formatNumber(draw.r2)}; recorded trials reach ${formatNumber(this.result.r2_real)}.`);
  }

  /** Return an SVG picture of the selected draw as text. */
  picture() {
    const draw = this.selected < 0 ? this.live : this.result.draws[this.selected];
    const { model } = this;
    const score = draw.r2 === null ? "" : `R² of ${this.condition.name} decoded from the spikes: ${formatNumber(draw.r2)}${this.result.r2_real === null ? "" : ` (recorded trials: ${formatNumber(this.result.r2_real)})`}. `;
    return picture({
      title: "Spikes generated for a drawn hand path",
      caption: `${score}Model ${model.name} (${model.kind}), ${model.neurons} neurons sorted by preferred direction, seed ${this.body(1).seed}. spikeloom studio.`,
      data: this.raster.data,
      field: { extent: model.extent, training: model.training_paths, path: this.result.path, decoded: draw.decoded, unit: model.path_unit },
    });
  }
}
