// The tab Turn: trials of one direction or category, beside the statistics of recorded trials.

import { Latest } from "./api.js";
import { correlation, heatMap, lineChart, scatterChart } from "./charts.js";
import { Clock } from "./clock.js";
import { control } from "./conditions.js";
import { $, busy, calm, median, settle, showError, showStatus, words } from "./dom.js";
import { Home } from "./home.js";
import { writeLink } from "./link.js";
import { picture } from "./picture.js";
import { Raster, smallRaster, trialData } from "./raster.js";
import { redraw } from "./theme.js";

const CHARTS = 6; // neurons with a chart

export class TurnTab {
  constructor() {
    this.clock = new Clock();
    this.raster = new Raster($("turn-raster"), { clock: this.clock, name: "Generated spikes" });
    this.home = new Home($("turn-home"), "condition");
    this.latest = new Latest();
    this.controls = new Map();
    this.later = settle(() => this.generate(), 150);
    $("turn-go").addEventListener("click", () => this.generate());
    for (const id of ["turn-draws", "turn-seed", "turn-guidance"]) $(id).addEventListener("change", this.later);
    for (const id of ["psth-recorded", "psth-generated"]) redraw($(id), () => this.paintMaps());
  }

  setModel(model) {
    this.latest.cancel();
    Object.assign(this, { model, result: null, selected: 0 });
    this.raster.clear();
    this.home.hide();
    $("turn-psth").hidden = $("turn-fano").hidden = true;
    $("turn-multiples").replaceChildren();
    $("turn-summary").textContent = "Choose a condition.";
    const single = model.conditions.filter((condition) => condition.kind !== "series");
    this.controls = new Map(single.map((condition) => [condition.name, control(condition, this.later)]));
    $("turn-conditions").replaceChildren(...[...this.controls.values()].map(({ element }) => element));
    const levels = single.some((condition) => condition.kind === "angle" && condition.levels.length);
    $("turn-hint").textContent = levels ? "Marks on the dial are the recorded directions. Other directions work too." : "";
  }

  shown() {
    if (!this.result && this.model.abilities.turn) this.generate();
  }

  hide() {
    this.clock.pause();
  }

  restore(fields) {
    try {
      for (const [name, value] of Object.entries(JSON.parse(fields.get("condition") || "{}"))) this.controls.get(name)?.set(value);
    } catch { /* a damaged link changes nothing */ }
    if (fields.has("seed")) $("turn-seed").value = fields.get("seed");
    if (fields.has("draws")) $("turn-draws").value = fields.get("draws");
    if (fields.has("guidance")) $("turn-guidance").value = fields.get("guidance");
  }

  body() {
    const condition = Object.fromEntries([...this.controls].map(([name, one]) => [name, one.value()]));
    const guidance = $("turn-guidance").value === "" ? null : Number($("turn-guidance").value);
    return { condition, draws: Number($("turn-draws").value), seed: Math.round(Number($("turn-seed").value) || 0), guidance };
  }

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

  show(result, body) {
    this.result = result;
    writeLink({ model: this.model.id, tab: "turn", seed: body.seed, draws: body.draws, guidance: body.guidance, condition: JSON.stringify(body.condition) });
    const entries = result.draws.map((draw, k) => [this.data(draw), `trial ${k + 1}`, () => this.select(k, true)]);
    $("turn-multiples").replaceChildren(...entries.map((entry) => smallRaster(...entry)));
    this.select(0, false);
    this.psth();
    this.fano();
    this.home.offer(this.model.id, { kind: "turn", ...body }, () => this.picture());
    showStatus(`${body.draws} trials generated. ${$("psth-summary").textContent} ${$("fano-summary").textContent}`);
  }

  data(draw) {
    const { bins, bin_width: binWidth } = this.result;
    return trialData(draw.spikes, bins ?? this.model.bins, binWidth ?? this.model.bin_width, this.model.neuron_order);
  }

  select(k, replay) {
    this.selected = k;
    this.raster.show(this.data(this.result.draws[k]));
    [...$("turn-multiples").children].forEach((button, at) => button.setAttribute("aria-pressed", String(at === k)));
    $("turn-summary").textContent = `Trial ${k + 1}: ${this.raster.summary}.`;
    if (!calm() && replay) this.clock.play();
  }

  psth() {
    const { psth, recorded_psth: recorded, nearest_level: level } = this.result;
    $("turn-psth").hidden = false;
    $("psth-recorded").parentElement.hidden = !recorded;
    const spread = (rates) => Math.max(...rates) - Math.min(...rates);
    const chosen = [...psth.keys()].sort((a, b) => spread(psth[b]) - spread(psth[a])).slice(0, CHARTS);
    $("psth-neurons").replaceChildren(...chosen.map((neuron) => lineChart(`neuron ${neuron}`, [
      { name: "recorded", kind: "recorded", values: recorded?.[neuron] },
      { name: "generated", kind: "generated", values: psth[neuron] },
    ], this.result.bin_width ?? this.model.bin_width)));
    const sentence = recorded ? `Recorded trials of ${this.describe(level)}. Correlation of recorded and generated: ${words(this.agreement())}.` : "There are no recorded trials to compare with.";
    $("psth-summary").textContent = sentence;
    for (const [id, name] of [["psth-recorded", "recorded"], ["psth-generated", "generated"]]) $(id).setAttribute("aria-label", `Firing rates of all neurons over time, ${name}. ${sentence}`);
    this.paintMaps();
  }

  describe(level) {
    const text = level !== null && typeof level === "object" ? Object.values(level).join(", ") : level;
    if (text === null || text === undefined) return "the nearest condition";
    const { unit } = this.model.conditions.find(({ kind }) => kind !== "series") || {};
    return `the nearest recorded condition, ${text}${unit ? ` ${unit}` : ""}`;
  }

  agreement() {
    const pairs = this.result.psth.flatMap((rates, neuron) => rates.map((rate, bin) => [rate, this.result.recorded_psth[neuron]?.[bin]]));
    const finite = pairs.filter((pair) => pair.every(Number.isFinite));
    return correlation(finite.map((pair) => pair[0]), finite.map((pair) => pair[1]));
  }

  paintMaps() {
    if (!this.result) return;
    const { psth, recorded_psth: recorded } = this.result;
    const most = psth.map((rates, neuron) => Math.max(1, ...rates, ...(recorded?.[neuron] ?? [])));
    heatMap($("psth-generated"), psth, this.model.neuron_order, most);
    if (recorded) heatMap($("psth-recorded"), recorded, this.model.neuron_order, most);
  }

  fano() {
    const { generated, recorded } = this.result.fano;
    $("turn-fano").hidden = !generated;
    if (!generated) return;
    const pairs = (recorded || []).map((value, neuron) => [value, generated[neuron]]).filter((pair) => pair.every(Number.isFinite));
    const text = `Median Fano factor ${words(median(generated))} generated${pairs.length ? `, ${words(median(recorded))} recorded` : ""}.`;
    $("fano-summary").textContent = text;
    $("fano-chart").replaceChildren(...(pairs.length ? [scatterChart("one dot per neuron", pairs, "recorded", "generated", text)] : []));
  }

  picture() {
    const condition = Object.entries(this.body().condition).map(([name, value]) => `${name} ${typeof value === "number" ? Number(value.toPrecision(4)) : value}`).join(", ");
    return picture({
      title: `Spikes generated for ${condition}`,
      caption: `Model ${this.model.name} (${this.model.kind}), trial ${this.selected + 1} of seed ${this.body().seed}. spikeloom studio.`,
      data: this.raster.data,
    });
  }
}
