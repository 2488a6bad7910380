// The columns of the two tables of calls.

import { fill, h, mark, say } from "./dom.js";
import { age, ago, count, money, time } from "./format.js";
import { part } from "./words.js";

const path = (call) => encodeURIComponent(call.id);

/** Links to the call's files. */
export const files = (call) =>
  [["jsonl", "JSON lines"], ["html", "HTML"]].map(([kind, title]) =>
    h("a.button", { href: `api/v1/calls/${path(call)}/call.${kind}`, download: true }, title),
  );

/** The clock that counts since the caller stopped: yellow once the turn is slow, red in dead air; words say the same. */
export function drawClock(node, call, { now, config }) {
  const waited = call.waiting_since === null || call.ended_at !== null ? null : Math.max(0, now - call.waiting_since);
  const dead = waited > config.dead_air, slow = !dead && waited > config.slow_turn;
  say(node, waited === null ? "" : `${waited.toFixed(1)} s${dead ? " dead air" : slow ? " slow" : ""}`);
  mark(node, "slow", slow);
  mark(node, "dead", dead);
}

const plain = (key, title, text, more) => {
  const value = (call) => call[key];
  return { key, title, class: "number", value, draw: (cell, call, env) => say(cell, text(value(call), env)), ...more };
};

const counted = (key, title) => plain(key, title, (found) => (found ? count(found) : "–"));

const wait = (kind, title) =>
  plain(`${kind}_wait`, title, null, {
    draw(cell, call, { config }) {
      const waited = call[`${kind}_wait`];
      fill(cell, h("span", { class: waited > config.slow_turn && "slow" }, time(waited)), part(call[`${kind}_bottleneck`]));
    },
  });

const agent = {
  key: "agent",
  title: "Agent",
  ascending: true,
  value: (call) => call.agent,
  draw(cell, call) {
    if (!cell.agent) {
      [cell.agent, cell.session] = [h("bdi"), h("bdi.soft")];
      cell.append(h("a", { href: `#call/${path(call)}` }, cell.agent), cell.session);
    }
    say(cell.agent, call.agent || "–");
    say(cell.session, call.session ?? call.call ?? "no session id");
  },
};

const ACTIVITIES = { listening: "c-user", thinking: "c-llm", speaking: "c-agent", tool: "c-tool" };

const turns = plain("turns", "Turns", count), cost = plain("cost", "Cost", money);

export const NOW = [
  agent,
  {
    ...plain("started_at", "Age", (at, { now }) => age(now - at), { clock: true }),
    value: (call) => -call.started_at,
  },
  {
    key: "activity",
    title: "Now",
    ascending: true,
    value: (call) => call.activity,
    draw: (cell, { connected, activity }) =>
      fill(cell, h("span.pill", { class: connected && ACTIVITIES[activity] }, connected ? activity : "disconnected")),
  },
  {
    key: "waiting",
    title: "Waiting",
    clock: true,
    value: (call) => call.waiting_since && -call.waiting_since,
    draw: (cell, call, env) => drawClock((cell.clock ??= cell.appendChild(h("span.clock"))), call, env),
  },
  turns,
  wait("last", "Last wait"),
  wait("worst", "Worst wait"),
  counted("interruptions", "Barge-ins"),
  counted("errors", "Errors"),
  cost,
];

const length = plain("length", "Length", null, { value: (call) => call.ended_at - call.started_at });

export const ENDED = [
  agent,
  plain("ended_at", "Ended", (at, { now }) => ago(now - at), { clock: true }),
  { ...length, draw: (cell, call) => say(cell, age(length.value(call))) },
  { ...plain("end_reason", "Reason"), class: "", ascending: true, draw: (cell, call) => fill(cell, h("bdi", call.end_reason ?? "–")) },
  turns,
  wait("worst", "Worst wait"),
  counted("unanswered", "No answer"),
  counted("errors", "Errors"),
  cost,
  { key: "files", title: "Download", draw: (cell, call) => cell.firstChild ?? cell.append(...files(call)) },
];
