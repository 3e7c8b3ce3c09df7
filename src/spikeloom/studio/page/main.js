// Starts the page: it reads the token, loads the models, and opens tabs and links.

import { forgetToken, keepToken, request, takeToken, token } from "./api.js";
import { CompareTab } from "./compare.js";
import { $, busy, make, showError, showStatus } from "./dom.js";
import { DrawTab } from "./draw.js";
import { onLink, readLink } from "./link.js";
import { TraverseTab } from "./traverse.js";
import { TurnTab } from "./turn.js";

// Each tab by its name in addresses, and a sentence for models that do not support it. A tab is an object with the methods
// setModel(model), shown(), hide() and restore(fields), where `fields` are those of a permanent link.
const NEEDS = {
  draw: "The tab Draw needs a model conditioned on a hand path",
  turn: "The tab Condition needs a model conditioned on a direction, a category or a number",
  traverse: "The tab Traverse needs a model with codes",
  compare: "The tab Compare needs recorded trials",
};

let models = []; // summaries of all models
let model = null; // the chosen model
let tabs = null; // name -> tab
let current = null; // name of the open tab

/** Hide the page, and show the form for the token. */
function lock() {
  $("main").hidden = true;
  $("locked").hidden = false;
  $("pasted").focus();
}

/** Show the tab of this name, or the first one that the model supports. */
function open(name, focus = false) {
  const chosen = model.abilities[name] ? name : Object.keys(NEEDS).find((tab) => model.abilities[tab]);
  if (!chosen) return;
  if (current && current !== chosen) tabs[current].hide();
  current = chosen;
  for (const tab of Object.keys(NEEDS)) {
    const button = $(`tab-${tab}`);
    button.setAttribute("aria-selected", String(tab === chosen));
    button.tabIndex = tab === chosen ? 0 : -1;
    $(tab).hidden = tab !== chosen;
  }
  if (focus) $(`tab-${chosen}`).focus();
  tabs[chosen].shown?.();
}

/** Move to another tab with the arrow keys, Home and End. */
function moveFocus(event) {
  const shown = [...$("tabs").children].filter((tab) => !tab.hidden);
  const index = shown.indexOf(event.target);
  const next = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: shown.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  open(shown[(next + shown.length) % shown.length].id.slice("tab-".length), true);
}

/** Load a model and show it; the fields of a link choose the tab and what it shows. */
async function choose(id, fields = new URLSearchParams()) {
  showError(null);
  showStatus("Loading the model.");
  try {
    const facts = await busy(request(`/api/models/${id}`));
    model = { ...models.find((summary) => summary.id === id), ...facts };
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
  for (const name of Object.keys(NEEDS)) {
    if (model.abilities[name]) tabs[name].setModel(model);
  }
  $("main").dataset.model = id;
  showStatus(`${model.name} is ready.`);
  current = null;
  const tab = fields.get("tab");
  if (model.abilities[tab]) tabs[tab].restore(fields);
  open(tab);
}

/** Show the page if the token is known: load the list of models, and open the linked one or the first. */
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
  const linked = models.find(({ id }) => id === fields.get("model"));
  if (linked) await choose(linked.id, fields);
  else await choose(models[0].id);
}

$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken($("pasted").value);
  start();
});
$("model").addEventListener("change", () => choose($("model").value));
$("tabs").addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) open(tab.id.slice("tab-".length));
});
$("tabs").addEventListener("keydown", moveFocus);
addEventListener("studio-locked", () => { forgetToken(); lock(); });
onLink(() => {
  if (readLink().has("token")) start();
  else if (models.some(({ id }) => id === readLink().get("model"))) choose(readLink().get("model"), readLink());
});
start();
