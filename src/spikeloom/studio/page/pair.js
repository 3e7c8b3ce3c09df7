// One recorded trial beside generated trials of its conditions, with the rates and Fano factors of both.

import { Latest } from "./api.js";
import { correlation, mean, scatterChart } from "./charts.js";
import { Clock } from "./clock.js";
import { $, busy, clamp, median, showError, showStatus, formatNumber } from "./dom.js";
import { writeLink } from "./link.js";
import { Raster, smallRaster, trialData } from "./raster.js";

export class PairView {
  constructor() {
    this.clock = new Clock();
    this.recorded = new Raster($("pair-recorded"), { clock: this.clock, name: "Recorded trial" });
    this.generated = new Raster($("pair-generated"), { clock: this.clock, name: "Generated trial" });
    this.latest = new Latest();
    $("pair-form").addEventListener("submit", (event) => { event.preventDefault(); this.load(Number($("pair-trial").value)); });
    $("pair-another").addEventListener("click", () => this.load(this.anotherTrial()));
    $("pair-seed").addEventListener("change", () => this.load(this.trial));
  }

  /** Show a model, without trials. */
  setModel(model) {
    this.latest.cancel();
    Object.assign(this, { model, result: null, trial: 0 });
    this.recorded.clear();
    this.generated.clear();
    $("pair-trial").max = String(model.training.trials - 1);
    $("pair-summary").textContent = "";
    $("pair-multiples").replaceChildren();
    $("pair-charts").replaceChildren();
  }

  /** Read the trial and the seed of a link. */
  restore(fields) {
    this.trial = Math.floor(Number(fields.get("trial")) || 0);
    if (fields.has("seed")) $("pair-seed").value = fields.get("seed");
  }

  /** Stop the replay. */
  hide() {
    this.clock.pause();
  }

  /** Return a random trial other than the one that is shown. */
  anotherTrial() {
    const { trials } = this.model.training;
    return trials < 2 ? 0 : (this.trial + 1 + Math.floor(Math.random() * (trials - 1))) % trials;
  }

  /** Write the permanent link, and load the trial unless it is shown already. */
  async shown() {
    if (this.result) this.writeLink();
    else await this.load(this.trial);
  }

  /** Write the model, the trial and the seed into the address. */
  writeLink() {
    writeLink({ model: this.model.id, tab: "compare", trial: this.trial, seed: this.seed });
  }

  /** Request generated trials for a recorded trial, and show both. */
  async load(trial) {
    const { model } = this;
    this.trial = clamp(Math.round(trial) || 0, 0, model.training.trials - 1);
    this.seed = Math.round(Number($("pair-seed").value) || 0);
    $("pair-trial").value = String(this.trial);
    this.writeLink();
    showError(null);
    try {
      showStatus("Generating trials of the same condition.");
      const result = await busy(this.latest.run(`/api/models/${model.id}/pair`, { trial: this.trial, seed: this.seed }));
      if (result) this.show(result);
    } catch (error) {
      showStatus("");
      showError(error.message);
    }
  }

  /** Show the recorded trial, the generated trials, and their statistics. */
  show(result) {
    this.result = result;
    const data = ({ spikes }) => trialData(spikes, result.bins, result.bin_width, this.model.neuron_order);
    this.trials = result.draws.map(data);
    const recorded = data(result.recorded);
    const trials = [recorded, ...this.trials];
    const scale = Math.max(...trials.flatMap(({ rate }) => rate)); // all curves have the same scale
    for (const trial of trials) trial.rateScale = scale;
    this.recorded.show(recorded);
    $("pair-multiples").replaceChildren(...this.trials.map((trial, k) => smallRaster(trial, `trial ${k + 1}`, () => this.select(k))));
    this.select(0);
    $("pair-summary").textContent = `${this.conditions()} ${this.ratesText()} ${this.fanoText()}`;
    this.charts();
    showStatus(`Trial ${result.trial}. ${$("pair-summary").textContent}`);
  }

  /** Show generated trial k in the large raster. */
  select(k) {
    this.generated.show(this.trials[k]);
    [...$("pair-multiples").children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === k)));
    $("pair-chosen").textContent = `generated, trial ${k + 1} of ${this.result.generated_trials}`;
  }

  /** Return the conditions of the recorded trial as a sentence. */
  conditions() {
    const texts = this.model.conditions.map(({ name, kind, unit }) => {
      const value = this.result.condition[name];
      if (kind === "series" || value === undefined) return `${name} of this trial`;
      return `${name} ${typeof value === "number" ? Number(value.toPrecision(4)) : value}${unit ? ` ${unit}` : ""}`;
    });
    return texts.length ? `Condition: ${texts.join(", ")}.` : "This model has no conditions.";
  }

  /** Return the mean rates of recorded and generated trials as a sentence. */
  ratesText() {
    const { recorded, generated } = this.result.rates_hz;
    const agreement = formatNumber(correlation(recorded, generated));
    return `Mean rate ${formatNumber(mean(recorded), 1)} spikes/s recorded, ${formatNumber(mean(generated), 1)} generated; correlation over neurons ${agreement}.`;
  }

  /** Return the median Fano factors as a sentence. */
  fanoText() {
    const { fano, exact, recorded_trials: count } = this.result;
    const generated = `Median Fano factor ${formatNumber(median(fano.generated))} generated`;
    if (this.model.conditions.some(({ kind }) => kind === "series")) return `${generated}. No other recorded trial has the same series, so there is no recorded Fano factor.`;
    if (count < 2) return `${generated}. No other recorded trial has this condition and length.`;
    return `${generated}, ${formatNumber(median(fano.recorded))} in ${count} recorded trials of ${exact ? "the same" : "a similar"} condition.`;
  }

  /** Draw rates and Fano factors of generated against recorded trials, one dot per neuron. */
  charts() {
    const { rates_hz: rates, fano } = this.result;
    const pairs = ({ recorded, generated }) => recorded.map((value, neuron) => [value, generated[neuron]]).filter((pair) => pair.every(Number.isFinite));
    const charts = [
      ["mean rates, spikes/s", pairs(rates), this.ratesText()],
      ["Fano factors", pairs(fano), this.fanoText()],
    ].filter(([, dots]) => dots.length);
    $("pair-charts").replaceChildren(...charts.map(([title, dots, label]) => scatterChart(title, dots, "recorded", "generated", label)));
  }
}
