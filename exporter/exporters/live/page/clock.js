// The exporter's clock, as messages tell it. Without a connection it stands still: nobody knows who still waits.

const DRIFT = 0.0005;

export class ServerClock {
  #ahead = null; // seconds that the exporter's clock is ahead of performance.now()
  #stopped = null;

  /** A message has come that was made at `now`; `anew`: the clock may be another one. */
  take(now, anew) {
    const ahead = now - performance.now() / 1000;
    // A late message tells a time that is too early, so the largest difference counts; it fades, since clocks drift.
    this.#ahead = anew || this.#ahead === null ? ahead : Math.max(ahead, this.#ahead - DRIFT);
    this.#stopped = null;
  }

  stop() {
    this.#stopped ??= this.now;
  }

  /** Unix seconds; null before the first message. */
  get now() {
    if (this.#stopped !== null) return this.#stopped;
    return this.#ahead === null ? null : performance.now() / 1000 + this.#ahead;
  }
}
