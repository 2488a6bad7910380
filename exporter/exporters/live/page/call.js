// One call: its course, and its turns as waterfalls that grow. It has a stream of its own.

import { drawClock, files } from "./columns.js";
import { $, fill, h, mark, s, say, wire } from "./dom.js";
import { fieldsOf } from "./fields.js";
import { age, count, money, time, timeOfDay } from "./format.js";
import { Told } from "./state.js";
import { Stream } from "./stream.js";
import { partsOf } from "./summary.js";
import { Waterfall, overview, within } from "./waterfall.js";
import { COMPONENTS, MARKS, part, word } from "./words.js";

const GONE = "The exporter does not have this call. It was restarted, or has dropped the call.";
const BUSY = "Not live: the exporter may have too many viewers.";
const STATES = { open: "goes on", completed: "waits for its turn.metrics", without_metrics: "without turn.metrics" };

export class CallView {
  /** Show the call `id`. `page` has the `model`, and `draw` to be called when something has changed. */
  constructor(id, page) {
    Object.assign(this, { id, page, detail: new Told("turns", "key"), drawn: new Map(), facts: new Map(), now: h("span"), clock: h("span.clock") });
    this.picture = s("svg.overview", { height: 52, "aria-hidden": "true" });
    fill($("overview"), this.picture);
    for (const name of ["turns", "facts", "loose"]) fill($(name));
    say($("call-note"), "Loading…");
    const url = `api/v1/calls/${encodeURIComponent(id)}`;
    const take = (kind) => (message) => {
      this.detail[kind](message);
      this.changed = true;
      say($("call-note"), "");
      page.draw();
    };
    const refused = () => fetch(url).then(({ status }) => say($("call-note"), status === 404 ? GONE : BUSY), () => {});
    this.stream = new Stream(`${url}/stream`, { state: take("state"), change: take("change"), status: () => {}, refused });
  }

  close() {
    this.stream.close();
  }

  /** Open a turn, now or when it is known. */
  want(turn) {
    this.wanted = turn;
    this.changed = this.detail.call !== undefined;
  }

  /** Draw what has changed. */
  show() {
    if (!this.changed) return;
    this.changed = false;
    this.present = this.#present();
    this.#facts();
    this.#turns();
    this.pictured = null;
    this.tick();
    if (this.wanted && this.drawn.has(this.wanted)) this.drawn.get(this.wanted).open();
    if (this.drawn.has(this.wanted)) this.wanted = null;
  }

  /** Time has gone on. */
  tick() {
    const { call } = this.detail, { now } = this.stream.clock;
    if (!call) return;
    this.present = this.#present();
    say(this.#fact("Length"), age((call.ended_at ?? now) - call.started_at));
    drawClock(this.clock, call, { now, config: this.page.model.config });
    for (const { turn, waterfall } of this.drawn.values()) if (turn.end === null) waterfall.tick(this.present);
    if (this.present - this.pictured < 0.5) return;
    this.pictured = this.present;
    fill(this.picture, overview(this.detail, this.present));
  }

  /** The present on the clock of the turns, at most until the call's end. */
  #present() {
    return (this.detail.call.ended_at ?? this.stream.clock.now) - this.detail.lag;
  }

  // What can be clicked stays the same element: one that is replaced loses the click and the focus.
  #fact(name, ...content) {
    if (!this.facts.has(name)) {
      this.facts.set(name, h("dd.wire", content));
      $("facts").append(h("div", h("dt", name), this.facts.get(name)));
    }
    return this.facts.get(name);
  }

  #facts() {
    const { call, truncated } = this.detail, live = call.ended_at === null;
    fill($("call-title"), wire(call.agent), " ", wire(call.session ?? "", { class: "soft" }));
    say(this.now, live ? (call.connected ? call.activity : "disconnected") : "ended");
    this.#fact("Now", this.now, " ", this.clock);
    this.#fact("Length");
    const texts = {
      Began: timeOfDay(call.started_at),
      Ended: live ? "–" : `${timeOfDay(call.ended_at)} ${call.end_reason ?? ""}`,
      Turns: count(call.turns),
      "Worst wait": `${time(call.worst_wait)} ${word(COMPONENTS, call.worst_bottleneck) ?? ""}`,
      "Slow, unanswered": `${count(call.slow_turns)}, ${count(call.unanswered)}`,
      "Interruptions, errors": `${count(call.interruptions)}, ${count(call.errors)}`,
      Cost: money(call.cost),
      "Answered by": call.answered_by,
      "Call id": call.call ?? "–",
    };
    for (const [name, text] of Object.entries(texts)) say(this.#fact(name), text);
    this.#fact("Trace", this.#trace(call));
    this.#fact("Download", files(call));
    const { turns, events } = truncated;
    say($("truncated"), turns || events ? `Memory is bounded: ${count(turns)} turns and ${count(events)} events are no longer kept.` : "");
  }

  #trace(call) {
    const id = h("code.wire", call.trace_id), said = h("span.soft", { role: "status" });
    const url = this.page.model.config.trace_url?.replace("{trace_id}", encodeURIComponent(call.trace_id)) ?? "";
    const link = /^https?:/.test(url) && h("a", { href: url, target: "_blank", rel: "noreferrer" }, "Open the trace");
    const button = h("button", { type: "button", on: { click: () => copy(id, said) } }, "Copy");
    return [id, " ", button, " ", call.traced ? link : h("small", "not exported"), " ", said];
  }

  #turns() {
    const { call, lag, marks, turns } = this.detail;
    for (const [key, { article }] of this.drawn)
      if (!turns.has(key)) {
        article.remove();
        this.drawn.delete(key);
      }
    // The newest turn is on top, where one sees it grow.
    const newest = [...turns.values()].sort((one, other) => other.start - one.start);
    newest.forEach((turn, index) => {
      if (!this.drawn.has(turn.key)) this.drawn.set(turn.key, new TurnView(turn.key));
      const shown = this.drawn.get(turn.key), there = $("turns").children[index] ?? null;
      shown.show(turn, marks.filter((each) => within(each, turn)), this.present);
      if (there !== shown.article) $("turns").insertBefore(shown.article, there);
    });
    say($("no-turns"), newest.length ? "" : "No turn yet.");
    const loose = marks.filter((each) => !newest.some((turn) => within(each, turn)));
    fill($("loose"), loose.map(({ kind, at, text }) => h("li", `${word(MARKS, kind)} at ${age(at - call.started_at + lag)} `, text && wire(text))));
  }
}

/** A turn with its waterfall, and all its fields when it is opened. Changed in place, it stays open. */
class TurnView {
  constructor(key) {
    this.waterfall = new Waterfall();
    Object.assign(this, { head: h("h3", { tabindex: -1 }), why: h("p.why"), parts: h("div"), summary: h("summary"), fields: h("div") });
    this.details = h("details", { on: { toggle: () => this.#fill() } }, this.summary, this.fields);
    this.article = h("article.turn", { "data-key": key }, this.head, this.why, this.waterfall.list, this.parts, this.details);
  }

  show(turn, marks, now) {
    const about = JSON.stringify(marks);
    if (this.turn === turn && this.about === about) return;
    [this.turn, this.about] = [turn, about];
    const flag = (on, text, name) => on && [h("span.pill", { class: name }, text), " "];
    fill(
      this.head,
      turn.number === null ? "Turn " : `Turn ${turn.number} `,
      turn.sub_agent !== null && ["of ", wire(turn.sub_agent), " "],
      h("span.soft", timeOfDay(turn.start), " "),
      turn.wait !== null && ["waited ", h("b", { class: turn.slow && "slow" }, time(turn.wait)), " ", part(turn.bottleneck), " "],
      flag(turn.slow, "slow", "slow"),
      flag(turn.unanswered, "unanswered", "dead"),
      flag(turn.error !== null, [wire(turn.error), " failed"], "dead"),
      flag(turn.agent_first, "the agent began"),
      flag(turn.interrupted, "interrupted"),
      flag(turn.cancelled, "cancelled"),
      flag(turn.estimated, "times are estimates"),
      flag(STATES[turn.state], STATES[turn.state]),
    );
    say(this.why, turn.why ?? "");
    this.waterfall.show(turn, marks, now);
    const said = [["Caller: ", turn.user_text], ["Agent: ", turn.agent_text]].filter(([, text]) => text !== null);
    fill(this.parts, turn.wait !== null && partsOf(turn.parts), said.map(([who, text]) => h("p", h("b", who), wire(text))));
    say(this.summary, `All fields (${Object.keys(turn.fields).length})`);
    this.details.hidden = !Object.keys(turn.fields).length;
    mark(this.article, "open", turn.end === null);
    mark(this.article, "bad", turn.slow || turn.unanswered || turn.error !== null);
    this.#fill();
  }

  /** Open it where the reader looks. */
  open() {
    this.details.open = true;
    this.article.scrollIntoView();
    this.head.focus({ preventScroll: true });
  }

  async #fill() {
    const { turn } = this;
    if (!this.details.open || this.filled === turn) return;
    this.filled = turn;
    const found = await fieldsOf(turn);
    if (this.turn === turn) fill(this.fields, found);
  }
}

/** Copy a text. This way, which is an old one, works without TLS too. */
function copy(node, said) {
  getSelection().selectAllChildren(node);
  say(said, document.execCommand("copy") ? "copied" : "selected");
}
