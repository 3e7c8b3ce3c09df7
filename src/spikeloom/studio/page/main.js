// Starts the page: token, models, tabs and links.

import { forgetToken, keepToken, request, takeToken, token } from "./api.js";
import { CompareTab } from "./compare.js";
import { $, busy, make, showError, showStatus } from "./dom.js";
import { DrawTab } from "./draw.js";
import { onLink, readLink } from "./link.js";
import { TraverseTab } from "./traverse.js";
import { TurnTab } from "./turn.js";

const NEEDS = {
  draw: "Draw needs a model conditioned on a hand path",
  turn: "Turn needs a model conditioned on a direction or a category",
  traverse: "Traverse needs a model with codes",
  compare: "Compare needs recorded trials",
};

let models = [];
let model = null;
let tabs = null;
let current = null;

function lock() {
  $("main").hidden = true;
  $("locked").hidden = false;
  $("pasted").focus();
}

/** Show one tab. */
function open(name, focus = false) {
  const wanted = model.abilities[name] ? name : Object.keys(NEEDS).find((one) => model.abilities[one]);
  if (!wanted) return;
  if (current && current !== wanted) tabs[current].hide();
  current = wanted;
  for (const one of Object.keys(NEEDS)) {
    const tab = $(`tab-${one}`);
    tab.setAttribute("aria-selected", String(one === wanted));
    tab.tabIndex = one === wanted ? 0 : -1;
    $(one).hidden = one !== wanted;
  }
  if (focus) $(`tab-${wanted}`).focus();
  tabs[wanted].shown?.();
}

function moveFocus(event) {
  const shown = [...$("tabs").children].filter((tab) => !tab.hidden);
  const at = shown.indexOf(event.target);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: shown.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  open(shown[(next + shown.length) % shown.length].id.slice(4), true);
}

/** Load a model and show it; the fields of a link choose the tab and what it shows. */
async function choose(id, fields = new URLSearchParams()) {
  showError(null);
  showStatus("Loading the model.");
  try {
    const [facts, summary] = [await busy(request(`/api/models/${id}`)), models.find((one) => one.id === id)];
    model = { ...summary, ...facts };
  } catch (error) {
    showStatus("");
    showError(error.message);
    return;
  }
  $("model").value = id;
  $("facts").textContent = `${model.recipe || model.kind} · ${model.neurons} neurons · ${model.bins} bins of ${Number((1000 * model.bin_width).toPrecision(4))} ms · ${model.training.trials} training trials`;
  const missing = Object.keys(NEEDS).filter((name) => !model.abilities[name]);
  for (const name of Object.keys(NEEDS)) $(`tab-${name}`).hidden = missing.includes(name);
  $("missing").textContent = missing.length ? `${missing.map((name) => NEEDS[name]).join(". ")}.` : "";
  for (const name of Object.keys(NEEDS)) if (model.abilities[name]) tabs[name].setModel(model);
  $("main").dataset.model = id;
  showStatus(`${model.name} is ready.`);
  current = null;
  const tab = fields.get("tab");
  if (model.abilities[tab]) tabs[tab].restore(fields);
  open(tab);
}

async function start() {
  const fields = takeToken();
  if (!token()) {
    lock();
    return;
  }
  $("locked").hidden = true;
  try {
    ({ models } = await busy(request("/api/models")));
  } catch (error) {
    showError(error.message);
    return;
  }
  if (!models.length) {
    showError("No model is loaded. Start the page with a run: spikeloom studio RUN");
    return;
  }
  $("model").replaceChildren(...models.map(({ id, name, kind }) => make("option", { value: id }, `${name} (${kind})`)));
  $("model").parentElement.hidden = false;
  $("main").hidden = false;
  tabs = tabs || { draw: new DrawTab(), turn: new TurnTab(), traverse: new TraverseTab(), compare: new CompareTab() };
  const wanted = models.find(({ id }) => id === fields.get("model")) || models[0];
  await choose(wanted.id, wanted.id === fields.get("model") ? fields : undefined);
}

$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken($("pasted").value);
  start();
});
$("model").addEventListener("change", () => choose($("model").value));
$("tabs").addEventListener("click", (event) => { const tab = event.target.closest("[role=tab]"); if (tab) open(tab.id.slice(4)); });
$("tabs").addEventListener("keydown", moveFocus);
addEventListener("studio-locked", () => { forgetToken(); lock(); });
onLink(() => {
  if (readLink().has("token")) start();
  else if (models.some(({ id }) => id === readLink().get("model"))) choose(readLink().get("model"), readLink());
});
start();
