// The panel Save and reproduce: files of the spikes, pictures, code that generates the same spikes, and the permanent link.

import { request, requestFile, saveFile } from "./api.js";
import { busy, make, showError, showStatus } from "./dom.js";
import { pngOf } from "./picture.js";

const FILES = [["h5", "Trials file (.h5)"], ["nwb", "NWB (.nwb)"], ["csv", "Table (.csv)"]];

export class SavePanel {
  /** Build the panel inside an element. Saved files are called `name` with the ending of their format. */
  constructor(host, name) {
    Object.assign(this, { name, body: null, model: null, picture: null });
    const files = make("div", { class: "group", role: "group" }, ...FILES.map(([format, label]) => this.button(label, () => this.file(format))));
    files.setAttribute("aria-label", "Files of the spikes");
    const pictures = make("div", { class: "group", role: "group" }, this.button("Picture (.svg)", () => this.svg()), this.button("Picture (.png)", () => this.png()));
    pictures.setAttribute("aria-label", "Pictures");
    this.python = make("pre", { tabIndex: 0 });
    this.shell = make("pre", { tabIndex: 0 });
    this.link = make("pre", { tabIndex: 0 });
    this.details = make("details", { class: "save" }, make("summary", {}, "Save and reproduce"), make("div", { class: "group" }, files, pictures));
    for (const [title, block] of [["Python", this.python], ["Command line", this.shell], ["Permanent link", this.link]]) {
      this.details.append(make("h3", {}, title, this.button("Copy", () => this.copy(block, title))), block);
      block.setAttribute("aria-label", title);
    }
    this.details.append(make("p", { class: "soft" }, "The link opens the same model, seed and stroke again, on this computer, while the studio is running at this address."));
    this.details.addEventListener("toggle", () => this.lines());
    this.card = make("div", { class: "card", hidden: true }, this.details);
    host.append(this.card);
  }

  /** Return a button that runs an action, and shows its error if it fails. */
  button(label, action) {
    const button = make("button", { type: "button" }, label);
    button.addEventListener("click", async () => {
      showError(null);
      button.disabled = true;
      try {
        await busy(Promise.resolve(action()));
      } catch (error) {
        showError(error.message);
      }
      button.disabled = false;
    });
    return button;
  }

  /** Show the panel for the spikes of a request. `picture()` returns an SVG document as text. */
  offer(model, body, picture) {
    Object.assign(this, { model, body, picture, shownBody: null });
    this.card.hidden = false;
    this.lines();
  }

  /** Hide the panel. */
  hide() {
    this.card.hidden = true;
  }

  /** Show the permanent link, and load the code if the panel is open and does not show it yet. */
  async lines() {
    this.link.textContent = location.href;
    if (!this.details.open || this.shownBody === this.body || this.card.hidden) return;
    this.shownBody = this.body;
    try {
      const lines = await request(`/api/models/${this.model}/lines`, { request: this.body, format: "h5" });
      this.python.textContent = lines.python;
      this.shell.textContent = lines.shell;
    } catch (error) {
      showError(error.message);
    }
  }

  /** Save the trials in a file of this format. */
  async file(format) {
    const { blob, name } = await requestFile(`/api/models/${this.model}/download`, { request: this.body, format }, `${this.name}.${format}`);
    saveFile(blob, name);
    showStatus(`Saved ${name}.`);
  }

  /** Save the picture as SVG. */
  svg() {
    saveFile(new Blob([this.picture()], { type: "image/svg+xml" }), `${this.name}.svg`);
    showStatus(`Saved ${this.name}.svg.`);
  }

  /** Save the picture as PNG. */
  async png() {
    saveFile(await pngOf(this.picture()), `${this.name}.png`);
    showStatus(`Saved ${this.name}.png.`);
  }

  /** Copy the text of a block. */
  async copy(block, title) {
    await navigator.clipboard.writeText(block.textContent);
    showStatus(`${title} copied.`);
  }
}
