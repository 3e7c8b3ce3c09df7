// Live generation over a WebSocket: the velocity of the hand goes out once per bin, the spikes of the bin come back.

import { token } from "./api.js";
import { positionAt } from "./stroke.js";

const PATIENCE = 0.04; // seconds without a pointer event after which the hand is taken to rest

/** Return whether a series holds velocities, by its unit or, without a unit, by its name. */
export const isVelocity = ({ name, unit }) => (unit ? unit.endsWith("/s") : /vel|speed/i.test(name));

export class LiveTrial {
  /** Open a live trial. `first` is the condition before the first bin; `onSpikes(bin, neurons)` and `onEnd(sentence or null)` report. */
  constructor(model, condition, seed, first, onSpikes, onEnd) {
    Object.assign(this, { model, condition, onSpikes, onEnd, sent: 0, points: null, open: false, closed: false });
    this.socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/live`);
    this.socket.addEventListener("open", () => {
      this.socket.send(JSON.stringify({ token: token(), model: model.id, seed, condition: { [condition.name]: first } }));
      this.open = true;
    });
    this.socket.addEventListener("message", (event) => this.receive(JSON.parse(event.data)));
    this.socket.addEventListener("close", () => this.end("The live trial ended: the server closed the connection."));
    const step = () => {
      if (this.closed) return;
      this.send(performance.now());
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  receive(message) {
    if (message.error) this.end(message.error);
    else if (message.spikes && !this.closed) this.onSpikes(message.bin, message.spikes);
  }

  /** Take the points of the stroke; they grow in place while the hand moves. `origin` is the time of the first, in ms. */
  follow(points, origin) {
    this.points = points;
    this.origin = origin;
  }

  /** Send the velocity of each bin that has passed by now. A bin uses the hand's positions up to its end only. */
  send(now) {
    if (!this.open || this.closed || !this.points) return;
    const width = this.model.bin_width;
    const last = this.points[this.points.length - 1][2];
    const due = Math.floor(Math.max(last, (now - this.origin) / 1000 - PATIENCE) / width + 1e-6);
    for (; this.sent < due; this.sent += 1) {
      const from = positionAt(this.points, this.sent * width);
      const to = positionAt(this.points, (this.sent + 1) * width);
      const velocity = [(to[0] - from[0]) / width, (to[1] - from[1]) / width];
      this.socket.send(JSON.stringify({ condition: { [this.condition.name]: isVelocity(this.condition) ? velocity : to } }));
    }
  }

  /** Finish the trial and free what the server holds for it. */
  end(sentence = null) {
    if (this.closed) return;
    this.closed = true;
    this.socket.close();
    this.onEnd(sentence);
  }
}
