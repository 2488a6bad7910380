// One turn as a waterfall: a row a stage, tool or mark, its bar at the times of its span (by the platform's clock).

import { fill, h, put, s, say, wire } from "./dom.js";
import { time } from "./format.js";
import { MARKS, STAGES, tint, word } from "./words.js";

const point = (attributes) => s("svg", { overflow: "visible", ...attributes }, s("path", { d: "M0 2 5 8 0 14-5 8Z" }));
const percent = (part) => `${(Math.min(Math.max(part, 0), 1) * 100).toFixed(4)}%`;

/** Whether a mark belongs to a turn. */
export const within = ({ at }, turn) => at >= turn.start - 0.001 && at <= (turn.end ?? Infinity) + 0.001;

/** When the caller waited: from the end of its speech to the agent's first word; null if nobody waited. */
export function waitOf(turn) {
  const of = (name) => turn.stages.find(({ stage }) => stage === name), speech = of("user_speech"), agent = of("agent_speech");
  if (turn.agent_first || speech?.end == null || !(agent || turn.state === "open")) return null;
  return { start: speech.end, end: agent?.start ?? null };
}

export class Waterfall {
  list = h("ol.waterfall");

  /** Draw a turn with its marks, up to `now` if it goes on. */
  show(turn, marks, now) {
    this.turn = turn;
    this.wait = waitOf(turn);
    this.rows = [
      ...turn.stages.map((stage) => ({ ...stage, of: stage.stage, words: word(STAGES, stage.stage), tint: tint(STAGES, stage.stage) })),
      ...turn.tools.map((tool) => ({ ...tool, of: "tool", words: "tool", tint: "c-tool" })),
      ...marks.map(({ kind, at, end, text }) => ({ of: kind, words: word(MARKS, kind), name: text, start: at, end: end ?? at, tint: tint(MARKS, kind) })),
    ];
    fill(this.list, this.rows.map((row) => this.#row(row)));
    this.tick(now);
  }

  /** Time has gone on: bars without an end grow. */
  tick(now) {
    const { turn } = this, last = (turn.end ?? Math.max(now, turn.start)) - turn.start;
    const whole = turn.end === null ? 2 ** Math.ceil(Math.log2(Math.max(last, 2))) : Math.max(last, 1e-6);
    put(this.list, "data-start", turn.start);
    put(this.list, "data-end", turn.start + whole);
    const place = (node, start, end) => {
      put(node, "x", percent((start - turn.start) / whole));
      if (end !== undefined) put(node, "width", percent((Math.min(end ?? Math.max(now, start), turn.start + whole) - start) / whole));
    };
    for (const row of this.rows) {
      place(row.bar, row.start, row.end);
      if (row.point) place(row.point, row.first_output ?? row.start);
      if (row.band) place(row.band, this.wait.start, this.wait.end);
      say(row.length, row.start === row.end ? "" : time((row.end ?? Math.max(now, row.start)) - row.start));
    }
  }

  #row(row) {
    const short = row.start === row.end;
    row.length = h("span.length");
    row.bar = s("rect", { y: 3, height: 12, class: row.tint });
    row.band = this.wait && s("rect.band", { height: "100%" });
    row.point = (row.first_output || short) && point({ class: short ? row.tint : "output" });
    const model = row.name && [" ", wire(row.name, { class: "soft" })], failed = row.failed && h("b.failed", " failed");
    const name = h("span.name", h("span.dot", { class: row.tint }, row.words), model, failed);
    const offset = h("span.offset", `+${time(row.start - this.turn.start)}`);
    return h("li", { "data-stage": row.of }, name, offset, row.length, s("svg.track", { "aria-hidden": "true" }, row.band, row.bar, row.point));
  }
}

/** The whole call in one picture: caller above agent above tools and marks, with the waits behind them. */
export function overview({ call, turns, marks, lag }, until) {
  const start = call.started_at - lag, whole = Math.max(until - start, 1), drawn = [];
  const bar = (y, height, each, tinted) => {
    const from = Math.max(each.start, start), width = percent((Math.min(each.end ?? until, until) - from) / whole);
    drawn.push(s("rect", { x: percent((from - start) / whole), width, y, height, class: tinted }));
  };
  for (const turn of turns.values()) {
    const wait = waitOf(turn);
    if (wait) bar(2, 44, wait, turn.slow ? "band late" : "band");
    for (const stage of turn.stages) if (/user|agent/.test(stage.stage)) bar(stage.stage === "user_speech" ? 4 : 20, 12, stage, tint(STAGES, stage.stage));
    for (const tool of turn.tools) bar(36, 8, tool, "c-tool");
  }
  for (const each of marks) {
    if (each.end !== null) bar(46, 4, { start: each.at, end: each.end }, tint(MARKS, each.kind));
    else drawn.push(point({ x: percent((each.at - start) / whole), y: 36, class: tint(MARKS, each.kind) }));
  }
  return drawn;
}
