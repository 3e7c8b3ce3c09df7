// The tab Condition, called "turn" in addresses and files: trials of one condition (a direction, a category or a number),
// beside the statistics of recorded trials.

import { Latest } from "./api.js";
import { correlation, heatMap, lineChart, scatterChart } from "./charts.js";
import { Clock } from "./clock.js";
import { control } from "./conditions.js";
import { $, busy, calm, counted, median, settle, showError, showStatus, formatNumber } from "./dom.js";
import { SavePanel } from "./save.js";
import { writeLink } from "./link.js";
import { picture } from "./picture.js";
import { Raster, smallRaster, trialData } from "./raster.js";
import { redraw } from "./theme.js";

const MOST_CHARTS = 6; // number of neurons whose rates are drawn

export class TurnTab {
  constructor() {
    this.clock = new Clock();
    this.raster = new Raster($("turn-raster"), { clock: this.clock, name: "Generated spikes" });
    this.savePanel = new SavePanel($("turn-save"), "condition");
    this.latest = new Latest();
    this.controls = new Map();
    this.generateLater = settle(() => this.generate(), 150);
    $("turn-go").addEventListener("click", () => this.generate());
    for (const id of ["turn-draws", "turn-seed", "turn-guidance"]) $(id).addEventListener("change", this.generateLater);
    for (const id of ["psth-recorded", "psth-generated"]) redraw($(id), () => this.paintMaps());
  }

  /** Show a model: one control for each condition. */
  setModel(model) {
    this.latest.cancel();
    Object.assign(this, { model, result: null, selected: 0 });
    this.raster.clear();
    this.savePanel.hide();
    $("turn-psth").hidden = $("turn-fano").hidden = true;
    $("turn-multiples").replaceChildren();
    $("turn-summary").textContent = "Choose a condition.";
    const single = model.conditions.filter((condition) => condition.kind !== "series");
    this.controls = new Map(single.map((condition) => [condition.name, control(condition, this.generateLater)]));
    $("turn-conditions").replaceChildren(...[...this.controls.values()].map(({ element }) => element));
    const levels = single.some((condition) => condition.kind === "angle" && condition.levels.length);
    $("turn-hint").textContent = levels ? "Marks on the dial are the recorded directions. Other directions work too." : "";
  }

  /** Generate trials when the tab is opened for the first time. */
  shown() {
    if (!this.result && this.model.abilities.turn) this.generate();
  }

  /** Stop the replay when another tab is opened. */
  hide() {
    this.clock.pause();
  }

  /** Read the condition and the settings of a link. */
  restore(fields) {
    try {
      for (const [name, value] of Object.entries(JSON.parse(fields.get("condition") || "{}"))) this.controls.get(name)?.set(value);
    } catch { /* a damaged link changes nothing */ }
    if (fields.has("seed")) $("turn-seed").value = fields.get("seed");
    if (fields.has("draws")) $("turn-draws").value = fields.get("draws");
    if (fields.has("guidance")) $("turn-guidance").value = fields.get("guidance");
  }

  /** Return the body of a request: the condition and the settings. */
  body() {
    const condition = Object.fromEntries([...this.controls].map(([name, { value }]) => [name, value()]));
    const guidance = $("turn-guidance").value === "" ? null : Number($("turn-guidance").value);
    return { condition, draws: Number($("turn-draws").value), seed: Math.round(Number($("turn-seed").value) || 0), guidance };
  }

  /** Request trials of the condition, and show them. */
  async generate() {
    showError(null);
    const body = this.body();
    try {
      showStatus("Generating trials.");
      const result = await busy(this.latest.run(`/api/models/${this.model.id}/turn`, body));
      if (result) this.show(result, body);
    } catch (error) {
      showStatus("");
      showError(error.message);
    }
  }

  /** Show a result. `body` is the request that produced it. */
  show(result, body) {
    this.result = result;
    writeLink({ model: this.model.id, tab: "turn", seed: body.seed, draws: body.draws, guidance: body.guidance, condition: JSON.stringify(body.condition) });
    const entries = result.draws.map((draw, k) => [this.data(draw), `trial ${k + 1}`, () => this.select(k, true)]);
    $("turn-multiples").replaceChildren(...entries.map((entry) => smallRaster(...entry)));
    this.select(0, false);
    this.psth();
    this.fano();
    this.savePanel.offer(this.model.id, { kind: "turn", ...body }, () => this.picture());
    showStatus(`${counted(body.draws, "trial")} generated. ${$("psth-summary").textContent} ${$("fano-summary").textContent}`);
  }

  /** Return the data of a generated trial for its raster. */
  data(draw) {
    const { bins, bin_width: binWidth } = this.result;
    return trialData(draw.spikes, bins ?? this.model.bins, binWidth ?? this.model.bin_width, this.model.neuron_order);
  }

  /** Show generated trial k in the large raster. */
  select(k, replay) {
    this.selected = k;
    this.raster.show(this.data(this.result.draws[k]));
    [...$("turn-multiples").children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === k)));
    $("turn-summary").textContent = `Trial ${k + 1}: ${this.raster.summary}.`;
    if (!calm() && replay) this.clock.play();
  }

  /** Draw the mean rates (PSTH) of recorded and generated trials. */
  psth() {
    const { psth, recorded_psth: recorded, nearest_level: level } = this.result;
    $("turn-psth").hidden = false;
    $("psth-recorded").parentElement.hidden = !recorded;
    const modulation = (neuron) => Math.max(...psth[neuron]) - Math.min(...psth[neuron]);
    const chosen = [...psth.keys()].sort((first, second) => modulation(second) - modulation(first)).slice(0, MOST_CHARTS);
    $("psth-neurons").replaceChildren(...chosen.map((neuron) => lineChart(`neuron ${neuron}`, [
      { name: "recorded", kind: "recorded", values: recorded?.[neuron] },
      { name: "generated", kind: "generated", values: psth[neuron] },
    ], this.result.bin_width ?? this.model.bin_width)));
    const sentence = recorded ? `Recorded trials of ${this.describe(level)}. Correlation of recorded and generated mean rates: ${formatNumber(this.psthCorrelation())}.` : "There are no recorded trials to compare with.";
    $("psth-summary").textContent = sentence;
    for (const name of ["recorded", "generated"]) $(`psth-${name}`).setAttribute("aria-label", `Firing rates of all neurons over time, ${name}. ${sentence}`);
    this.paintMaps();
  }

  /** Describe the recorded trials to which the generated trials are compared. */
  describe(level) {
    const text = level !== null && typeof level === "object" ? Object.values(level).join(", ") : level;
    if (text === null || text === undefined) return "the nearest condition";
    const { unit } = this.model.conditions.find(({ kind }) => kind !== "series") || {};
    return `the nearest recorded condition, ${text}${unit ? ` ${unit}` : ""}`;
  }

  /** Return the correlation of recorded and generated mean rates over neurons and bins. */
  psthCorrelation() {
    const pairs = this.result.psth.flatMap((rates, neuron) => rates.map((rate, bin) => [rate, this.result.recorded_psth[neuron]?.[bin]]));
    const finite = pairs.filter((pair) => pair.every(Number.isFinite));
    return correlation(finite.map((pair) => pair[0]), finite.map((pair) => pair[1]));
  }

  /** Paint the mean rates of all neurons as heat maps. */
  paintMaps() {
    if (!this.result) return;
    const { psth, recorded_psth: recorded } = this.result;
    const scales = psth.map((rates, neuron) => Math.max(1, ...rates, ...(recorded?.[neuron] ?? []))); // the same for both maps
    heatMap($("psth-generated"), psth, this.model.neuron_order, scales);
    if (recorded) heatMap($("psth-recorded"), recorded, this.model.neuron_order, scales);
  }

  /** Show the Fano factors of recorded and generated trials. */
  fano() {
    const { generated, recorded } = this.result.fano;
    $("turn-fano").hidden = !generated;
    if (!generated) return;
    const pairs = (recorded || []).map((value, neuron) => [value, generated[neuron]]).filter((pair) => pair.every(Number.isFinite));
    const text = `Median Fano factor ${formatNumber(median(generated))} generated${pairs.length ? `, ${formatNumber(median(recorded))} recorded` : ""}.`;
    $("fano-summary").textContent = text;
    $("fano-chart").replaceChildren(...(pairs.length ? [scatterChart("one dot per neuron", pairs, "recorded", "generated", text)] : []));
  }

  /** Return an SVG picture of the selected trial as text. */
  picture() {
    const condition = Object.entries(this.body().condition).map(([name, value]) => `${name} ${typeof value === "number" ? Number(value.toPrecision(4)) : value}`).join(", ");
    return picture({
      title: `Spikes generated for ${condition}`,
      caption: `Model ${this.model.name} (${this.model.kind}), trial ${this.selected + 1} of seed ${this.body().seed}. spikeloom studio.`,
      data: this.raster.data,
    });
  }
}
