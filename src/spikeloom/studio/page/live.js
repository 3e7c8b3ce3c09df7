// Live generation over a WebSocket: the page sends the movement of the hand in each bin, and receives the spikes of the bin.

import { token } from "./api.js";
import { positionAt } from "./stroke.js";

const REST_AFTER = 0.08; // after this time without a pointer event, the hand counts as resting, s
const LONGEST_WAIT = 3000; // longest time to wait for the last spikes of a stroke, ms

/** Return whether a series holds velocities, by its unit or, without a unit, by its name. */
export const isVelocity = ({ name, unit }) => (unit ? unit.endsWith("/s") : /vel|speed/i.test(name));

export class LiveTrial {
  /** Open a live trial, ready for a stroke. The server closes a trial that is not used. */
  constructor(model, condition, seed) {
    Object.assign(this, { model, condition, seed, sent: 0, received: 0, decoded: null, r2: null, points: null, open: false, closed: false });
    this.done = new Promise((resolve) => { this.resolve = resolve; });
    this.socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/live`);
    const { extent } = model;
    const first = isVelocity(condition) ? [0, 0] : [(extent[0] + extent[1]) / 2, (extent[2] + extent[3]) / 2];
    this.socket.addEventListener("open", () => {
      this.socket.send(JSON.stringify({ token: token(), model: model.id, seed, condition: { [condition.name]: first } }));
      this.open = true;
    });
    this.socket.addEventListener("message", (event) => this.receive(JSON.parse(event.data)));
    this.socket.addEventListener("close", () => this.close("The server closed the live trial."));
  }

  /** Begin a stroke. Later points are appended to `points`; `origin` is the time of the first one, ms. The spikes of each
   * bin are passed to `onSpikes(bin, neurons)`, and errors to `onError(sentence)`. */
  begin(points, origin, onSpikes, onError) {
    Object.assign(this, { points, origin, onSpikes, onError });
    const step = () => {
      if (this.closed || this.ending) return;
      this.send(performance.now());
      requestAnimationFrame(step);
    };
    step();
  }

  /** Take a message of the server: an error, the decoded path, or the spikes of a bin. */
  receive(message) {
    if (message.error) {
      this.close(message.error);
      return;
    }
    if (this.closed) return;
    if (message.decoded !== undefined) {
      Object.assign(this, { decoded: message.decoded, r2: message.r2 });
      this.close();
      return;
    }
    if (!message.spikes) return;
    this.received = message.bin + 1;
    this.onSpikes?.(message.bin, message.spikes);
    if (this.ending && this.received >= this.sent) this.decode();
  }

  /** Request the path that is decoded from the spikes of this trial. Its answer closes the connection. */
  decode() {
    if (this.open && this.received) this.socket.send(JSON.stringify({ decode: this.points[0].slice(0, 2) }));
    else this.close();
  }

  /** Send the movement of each bin that has ended. A bin depends only on the positions up to its end. */
  send(now) {
    if (!this.open || this.closed) return;
    const width = this.model.bin_width;
    const last = this.points[this.points.length - 1][2];
    const ended = Math.floor(Math.max(last, (now - this.origin) / 1000 - REST_AFTER) / width + 1e-6);
    const conditions = [];
    for (; this.sent < ended; this.sent += 1) {
      const from = positionAt(this.points, this.sent * width);
      const to = positionAt(this.points, (this.sent + 1) * width);
      const velocity = [(to[0] - from[0]) / width, (to[1] - from[1]) / width];
      conditions.push({ [this.condition.name]: isVelocity(this.condition) ? velocity : to });
    }
    if (conditions.length) this.socket.send(JSON.stringify({ conditions }));
  }

  /** End the stroke. The promise resolves when the last spikes and the decoded path have arrived, or after `LONGEST_WAIT`. */
  finish() {
    if (!this.ending && !this.closed) {
      this.send(this.origin);
      this.ending = true;
      if (this.received >= this.sent) this.decode();
      setTimeout(() => this.close(), LONGEST_WAIT);
    }
    return this.done;
  }

  /** Close the connection. The server then deletes the live trial. */
  close(sentence = null) {
    if (this.closed) return;
    this.closed = true;
    this.socket.close();
    if (sentence && this.points && !this.ending) this.onError(sentence);
    this.resolve();
  }
}
