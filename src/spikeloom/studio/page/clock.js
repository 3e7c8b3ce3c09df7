// The clock of a replay: rasters, paths and sounds of one trial follow it.

export class Clock {
  constructor() {
    this.duration = 0;
    this.time = 0;
    this.speed = 1;
    this.playing = false;
    this.listeners = new Set();
    this.frame = 0;
  }

  /** Call `listener(clock, event)` at each change; event is "time", "play", "pause" or "seek". */
  listen(listener) {
    this.listeners.add(listener);
  }

  /** Call all listeners with an event. */
  emit(event) {
    for (const listener of this.listeners) listener(this, event);
  }

  /** Begin with a trial of `duration` seconds, at its end. */
  load(duration) {
    this.pause();
    this.duration = duration;
    this.time = duration;
    this.emit("seek");
  }

  /** Run from the present time, or from the start if the end is reached. */
  play() {
    if (this.playing || !this.duration) return;
    if (this.time >= this.duration) this.time = 0;
    this.playing = true;
    this.startTime = performance.now() - (this.time / this.speed) * 1000;
    this.emit("play");
    this.frame = requestAnimationFrame(() => this.tick());
  }

  /** Set the time of the present frame. Each frame of the screen calls this method while the clock runs. */
  tick() {
    if (!this.playing) return;
    this.time = Math.min(this.duration, ((performance.now() - this.startTime) / 1000) * this.speed);
    this.emit("time");
    if (this.time >= this.duration) this.pause();
    else this.frame = requestAnimationFrame(() => this.tick());
  }

  /** Stop the clock at the present time. */
  pause() {
    cancelAnimationFrame(this.frame);
    if (!this.playing) return;
    this.playing = false;
    this.emit("pause");
  }

  /** Stop the clock, and set its time in seconds. */
  seek(time) {
    this.pause();
    this.time = Math.max(0, Math.min(this.duration, time));
    this.emit("seek");
  }

  /** Change the speed; 1 is real time. */
  setSpeed(speed) {
    const playing = this.playing;
    this.pause();
    this.speed = speed;
    if (playing) this.play();
  }
}
