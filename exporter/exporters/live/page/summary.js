// All calls together: the numbers at the top, where the time went, slow turns, and what was not taken as it came.

import { $, fill, h, mark, s, say, wire } from "./dom.js";
import { ago, bytes, count, share, short, time, timeOfDay } from "./format.js";
import { COMPONENTS, part, tint, word } from "./words.js";

const WINDOW = [
  ["p50", ({ p50 }) => time(p50)],
  ["p95", ({ p95 }) => time(p95), ({ p95 }, objective) => p95 > objective.seconds],
  ["p99", ({ p99 }) => time(p99)],
  ["In time", ({ met }) => share(met), ({ met }, objective) => met !== null && met < objective.ratio],
  ["Turns", ({ turns }) => count(turns)],
  ["Slow", ({ slow }) => count(slow)],
  ["Unanswered", ({ unanswered }) => count(unanswered)],
  ["Errors", ({ errors }) => count(errors)],
];

/** A number with its name, made once and changed in place. */
function tile(name, title) {
  const value = h("dd", { id: `n-${name}` }), more = h("dd.soft"), box = h("div", h("dt", title), value, more);
  $("numbers").append(box);
  return (text, about, level = "") => {
    say(value, text);
    say(more, about);
    for (const each of ["slow", "dead"]) mark(box, each, level === each);
  };
}

export class Numbers {
  #calls = tile("calls", "Calls now");
  #waiting = tile("waiting", "Waiting now");
  #events = tile("events", "Events/s");
  #queue = tile("otlp", "OTLP queue");
  #scrape = tile("scrape", "Last scrape");
  #windows = new Map();

  constructor() {
    fill($("windows-head"), h("th", { scope: "col" }, "Waits"), WINDOW.map(([title]) => h("th.number", { scope: "col" }, title)));
  }

  show({ summary, config: { objective }, left_out }) {
    this.#calls(count(summary.calls), left_out ? `${count(left_out)} not listed` : `${count(summary.connections)} connections`);
    this.#events(short(summary.events_per_second), "");
    const all = (name) => summary.otlp.reduce((sum, each) => sum + each[name], 0), failures = all("failures"), dropped = all("dropped");
    if (!summary.otlp.length) this.#queue("off", "");
    else if (dropped) this.#queue(bytes(all("queue_bytes")), `${count(dropped)} lost`, "dead");
    else this.#queue(bytes(all("queue_bytes")), `${count(failures)} failures`, failures ? "slow" : "");
    say($("objective"), `Objective: ${share(objective.ratio)} of the callers' turns are answered within ${time(objective.seconds)}.`);
    for (const each of summary.windows) this.#window(each, objective);
  }

  /** What changes with time: how long the callers of the `waiting` calls have waited. */
  tick({ summary, config, left_out }, now, waiting) {
    const waited = Math.max(0, ...waiting.map((call) => now - call.waiting_since));
    const level = waited > config.dead_air ? "dead" : waited > config.slow_turn ? "slow" : "";
    const words = { dead: ", dead air", slow: ", slow", "": "" }[level];
    this.#waiting(count(left_out ? summary.waiting : waiting.length), waiting.length ? `longest ${waited.toFixed(1)} s${words}` : "nobody", level);
    this.#scrape(summary.last_scrape === null ? "never" : ago(now - summary.last_scrape), "");
  }

  #window(each, objective) {
    let cells = this.#windows.get(each.minutes);
    if (!cells) {
      this.#windows.set(each.minutes, (cells = WINDOW.map(() => h("td.number"))));
      $("windows").append(h("tr", h("th", { scope: "row" }, `${each.minutes} minutes`), cells));
    }
    WINDOW.forEach(([, text, missed], index) => {
      say(cells[index], text(each));
      mark(cells[index], "missed", missed?.(each, objective));
    });
  }
}

/** The parts of one wait (or, `whole`, of all waits) as a bar and as a list; null if there are none. */
export function partsOf(found, whole) {
  const positive = found.filter(({ seconds }) => seconds > 0), all = positive.reduce((sum, { seconds }) => sum + seconds, 0);
  let at = 0;
  const bars = positive.map(({ component, seconds }) => {
    const bar = s("rect", { x: `${(at / all) * 100}%`, width: `${(seconds / all) * 100}%`, height: "100%", class: tint(COMPONENTS, component) });
    at += seconds;
    return bar;
  });
  const items = positive.map(({ component, seconds }) => h("li", part(component), " ", h("b", whole ? share(seconds / all) : time(seconds))));
  return all ? h("figure.parts", s("svg.bar", { "aria-hidden": "true" }, bars), h("ul", { "aria-label": "Parts of the wait" }, items)) : null;
}

export const showShares = (found) => fill($("shares"), partsOf(found, true) ?? h("p.soft", "Nobody has waited."));

export function showSlowTurns(found, calls) {
  const items = found.slice(0, 100).map(({ call, turn, agent, at, wait, bottleneck, error }) => {
    const text = [timeOfDay(at), " ", wire(agent)], link = `#call/${encodeURIComponent(call)}/${encodeURIComponent(turn)}`;
    const what = error ? h("b.failed", wire(error), " failed") : [time(wait), " ", part(bottleneck)];
    return h("li", calls.has(call) ? h("a", { href: link }, text) : text, " ", what);
  });
  fill($("slow"), items.length ? items : h("li.soft", "None."));
}

export function showProblems(found) {
  const rows = found.map(({ kind, field, reason, count: times, first_at, last_at }) => {
    const cells = [field === null ? "–" : wire(field), wire(reason), count(times), timeOfDay(last_at), timeOfDay(first_at)];
    return h("tr", h("th", { scope: "row" }, word({}, kind)), cells.map((cell) => h("td", cell)));
  });
  fill($("problems"), rows.length ? rows : h("tr", h("td", { colspan: 6 }, "Nothing.")));
}
