// A stream of the exporter: the whole state first, then what differs. It reconnects for ever.

import { ServerClock } from "./clock.js";

const FIRST_PAUSE = 500, LONGEST_PAUSE = 5000;

export class Stream {
  /** `on` has functions: `state` and `change` take a message, `status` one of app.js, and `refused` may be: there is no such stream. */
  constructor(url, on) {
    [this.url, this.on, this.pause] = [url, on, FIRST_PAUSE];
    this.clock = new ServerClock();
    this.on.status("connecting");
    // A browser has six connections for all tabs; those that nobody sees leave theirs to others.
    this.wake = () => (document.hidden ? this.#rest() : this.#open());
    document.addEventListener("visibilitychange", this.wake);
    this.#open();
  }

  close() {
    document.removeEventListener("visibilitychange", this.wake);
    this.#rest();
  }

  #rest() {
    clearTimeout(this.timer);
    this.source?.close();
  }

  #open() {
    this.#rest();
    const source = (this.source = new EventSource(this.url));
    source.addEventListener("state", (event) => this.#take("state", event));
    source.addEventListener("change", (event) => this.#take("change", event));
    source.addEventListener("bye", (event) => this.#bye(JSON.parse(event.data).reason));
    source.addEventListener("error", () => this.#lost(source.readyState === EventSource.CLOSED));
  }

  #take(kind, event) {
    const message = JSON.parse(event.data);
    this.clock.take(message.now, kind === "state");
    this.pause = FIRST_PAUSE;
    this.on.status("live");
    this.on[kind](message);
  }

  // The browser would wait for seconds.
  #bye(reason) {
    this.source.close();
    if (reason === "gone") return this.on.refused?.();
    this.#lost(true, reason);
  }

  #lost(closed, reason) {
    this.clock.stop();
    this.on.status(reason === "stopping" ? reason : "lost");
    if (!closed) return; // the browser tries again, and says what it has seen last
    if (!reason) this.on.refused?.();
    this.timer = setTimeout(() => this.#open(), this.pause);
    this.pause = Math.min(this.pause * 1.5, LONGEST_PAUSE);
  }
}
