// The tab Compare: a recorded trial beside generated trials, a quiz with such pairs, and the score of a classifier.

import { request } from "./api.js";
import { bars } from "./charts.js";
import { $, busy, make, showError, showStatus, formatNumber } from "./dom.js";
import { PairView } from "./pair.js";
import { Raster, smallRaster, trialData } from "./raster.js";

const SIDES = ["left", "right"];

export class CompareTab {
  constructor() {
    this.view = new PairView();
    this.rasters = { left: new Raster($("quiz-left"), { name: "Left trial" }), right: new Raster($("quiz-right"), { name: "Right trial" }) };
    $("quiz-begin").addEventListener("click", () => this.begin());
    $("quiz-next").addEventListener("click", () => this.next());
    for (const button of document.querySelectorAll("button[data-side]")) button.addEventListener("click", () => this.answer(button.dataset.side));
  }

  /** Show a model, without results. */
  setModel(model) {
    Object.assign(this, { model, quiz: null, pair: 0, score: 0, answered: 0, classifier: undefined });
    this.view.setModel(model);
    $("quiz").hidden = $("quiz-review").hidden = true;
    $("quiz-start").hidden = false;
    $("quiz-begin").textContent = "Start the quiz";
    $("quiz-score").replaceChildren();
    $("review").replaceChildren();
  }

  /** Load the pair and the score of the classifier when the tab is opened. */
  async shown() {
    await this.view.shown();
    this.loadClassifier();
  }

  /** Stop all replays when another tab is opened. */
  hide() {
    this.view.hide();
    for (const side of SIDES) this.rasters[side].clock.pause();
  }

  /** Read the fields of a link. */
  restore(fields) {
    this.view.restore(fields);
  }

  /** Request the accuracy of the classifier, once for each model. */
  async loadClassifier() {
    const { model } = this;
    if (this.classifier !== undefined) return;
    this.classifier = null;
    try {
      const result = await request(`/api/models/${model.id}/classifier`);
      if (model === this.model) this.classifier = result;
      this.showScore();
    } catch (error) {
      if (model === this.model) showError(error.message);
    }
  }

  /** Request a new quiz, and show its first pair. */
  async begin() {
    showError(null);
    try {
      showStatus("Generating ten pairs.");
      const seed = Math.round(Number($("quiz-seed").value) || 0);
      this.quiz = await busy(request(`/api/models/${this.model.id}/quiz`, { pairs: 10, seed }));
    } catch (error) {
      showStatus("");
      showError(error.message);
      return;
    }
    Object.assign(this, { pair: 0, score: 0, answered: 0 });
    showStatus("");
    $("quiz-start").hidden = true;
    $("quiz").hidden = false;
    $("review").replaceChildren();
    $("quiz-review").hidden = true;
    this.showPair();
    this.showScore();
  }

  /** Return the data of one side of the present pair for its raster. */
  data(side) {
    const { pairs, bins, bin_width: binWidth } = this.quiz;
    return trialData(pairs[this.pair][side].spikes, bins, binWidth, this.model.neuron_order);
  }

  /** Show the present pair, without an answer. */
  showPair() {
    for (const side of SIDES) this.rasters[side].show(this.data(side));
    for (const verdict of document.querySelectorAll(".verdict")) {
      verdict.textContent = "";
      verdict.className = "verdict";
    }
    for (const button of document.querySelectorAll("button[data-side]")) button.disabled = false;
    $("quiz-next").hidden = true;
    $("quiz-progress").textContent = `Pair ${this.pair + 1} of ${this.quiz.pairs.length}.`;
  }

  /** Send the answer of the user, the side that is believed to be recorded, and show whether it is correct. */
  async answer(side) {
    if (!this.quiz) return;
    for (const button of document.querySelectorAll("button[data-side]")) button.disabled = true;
    let result;
    try {
      result = await busy(request(`/api/quiz/${this.quiz.id}/answer`, { pair: this.pair, recorded: side }));
    } catch (error) {
      showError(error.message);
      return;
    }
    const recorded = result.correct ? side : SIDES.find((other) => other !== side);
    Object.assign(this, { score: result.score, answered: result.answered });
    for (const verdict of document.querySelectorAll(".verdict")) {
      const kind = verdict.dataset.side === recorded ? "recorded" : "generated";
      const truth = kind === "recorded" ? "Recorded" : "Generated";
      const comment = result.correct ? ": you are right" : ": you chose this one";
      verdict.textContent = `${truth}${verdict.dataset.side === side ? comment : ""}.`;
      verdict.classList.add(kind);
    }
    this.review(recorded, result.correct);
    this.showScore();
    const last = this.pair + 1 === this.quiz.pairs.length;
    $("quiz-next").hidden = false;
    $("quiz-next").textContent = last ? "Finish" : "Next pair";
    $("quiz-progress").textContent = `Pair ${this.pair + 1} of ${this.quiz.pairs.length}: ${result.correct ? "correct" : "not correct"}. Score ${this.score} of ${this.answered}.`;
    $("quiz-next").focus();
  }

  /** Show the next pair, or end the quiz. */
  next() {
    if (this.pair + 1 < this.quiz.pairs.length) {
      this.pair += 1;
      this.showPair();
      return;
    }
    $("quiz").hidden = true;
    $("quiz-start").hidden = false;
    $("quiz-begin").textContent = "Start another quiz";
    $("quiz-seed").value = String(Number($("quiz-seed").value) + 1);
    $("quiz-begin").focus();
    showStatus(`The quiz is finished. Score ${this.score} of ${this.answered}.`);
  }

  /** Add the present pair to the list of answered pairs. `recorded` is its recorded side. */
  review(recorded, correct) {
    const pair = make("div", { class: "pair" });
    for (const kind of ["recorded", "generated"]) {
      const side = kind === "recorded" ? recorded : SIDES.find((other) => other !== recorded);
      pair.append(smallRaster(this.data(side), kind));
    }
    $("quiz-review").hidden = false;
    $("review").prepend(make("article", {}, make("span", {}, `Pair ${this.pair + 1}, answered ${correct ? "correctly" : "wrongly"}`), pair));
  }

  /** Show the scores of the user and of the classifier as bars. */
  showScore() {
    const entries = [];
    if (this.answered) entries.push({ name: "You", kind: "generated", value: this.score / this.answered, text: `${this.score} of ${this.answered}` });
    const { accuracy, floor } = this.classifier || {};
    const percent = (value) => `${formatNumber(100 * value, 0)} %`;
    if (Number.isFinite(accuracy)) entries.push({ name: "Classifier", kind: "recorded", value: accuracy, text: percent(accuracy) });
    if (Number.isFinite(floor)) entries.push({ name: "Classifier, noise floor", kind: "", value: floor, text: percent(floor) });
    const note = "Fraction of correct answers. Guessing gives 50 %. The noise floor is the accuracy of the same classifier between two halves of the recorded trials.";
    $("quiz-score").replaceChildren(...(entries.length ? [bars(entries, note)] : []));
  }
}
