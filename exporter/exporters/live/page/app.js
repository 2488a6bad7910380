// The page: it shows what the stream tells, in the view that the address names (#calls, #ended, #debugging, #call/ID/TURN).

import { CallView } from "./call.js";
import { ENDED, NOW } from "./columns.js";
import { $, mark, put, say } from "./dom.js";
import { count, timeOfDay } from "./format.js";
import { HeatMap } from "./heat.js";
import { Told } from "./state.js";
import { Stream } from "./stream.js";
import { Numbers, showProblems, showShares, showSlowTurns } from "./summary.js";
import { CallTable } from "./table.js";
import { COMPONENTS, word } from "./words.js";

const VIEWS = ["calls", "ended", "debugging", "call"];
const STATUS = {
  connecting: "Connecting…",
  live: "Live",
  lost: "Connection lost. Reconnecting…",
  stopping: "The exporter is stopping. Reconnecting…",
};

const model = new Told("calls", "id");
const env = {
  get now() {
    return stream.clock.now;
  },
  get config() {
    return model.config;
  },
};
const numbers = new Numbers();
const heat = new HeatMap($("heat"), $("heat-note"));
const now = new CallTable($("table-calls"), env, { columns: NOW, sort: "waiting", caption: "Calls now", empty: "No calls now." });
const ended = new CallTable($("table-ended"), env, { columns: ENDED, sort: "ended_at", caption: "Ended calls", empty: "No call has ended." });
let view = "calls", opened = null, drawing = false;
const shown = {}; // what each part was last drawn from: the same object is not drawn again

const stream = new Stream("api/v1/stream", {
  state(message) {
    const restarted = model.boot && model.boot !== message.boot;
    model.state(message);
    if (restarted) say($("restarted"), `The exporter was restarted (${timeOfDay(message.now)}). It knows the calls that have reported since.`);
    draw();
  },
  change(message) {
    model.change(message);
    draw();
  },
  status(status) {
    say($("connection"), STATUS[status]);
    $("connection").className = status;
    mark(document.body, "stale", status !== "live");
  },
});

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (model.config) render();
  });
}

/** Draw a part if what it is made of has changed. */
function once(name, found, act) {
  if (shown[name] === found) return;
  shown[name] = found;
  act(found);
}

function render() {
  const all = [...model.calls.values()];
  once("summary", model.summary, () => numbers.show(model));
  say($("version"), model.config.version);
  say($("ended-count"), count(all.filter((call) => call.ended_at !== null).length));
  say($("problem-count"), model.problems.length ? count(model.problems.length) : "");
  if (view === "calls") {
    const live = all.filter((call) => call.ended_at === null);
    const found = live.filter((call) => matches(call, $("filter").value));
    now.show(found);
    say($("matches"), found.length === live.length ? "" : `${count(found.length)} of ${count(live.length)}`);
    once("heat", model.heat, (data) => heat.show(data, model.config.objective.seconds));
    once("shares", model.summary, ({ shares }) => showShares(shares));
    if (!$("slow").matches(":focus-within")) once("slow", model.slow_turns, (turns) => showSlowTurns(turns, model.calls));
  } else if (view === "ended") {
    ended.show(all.filter((call) => call.ended_at !== null && matches(call, $("filter-ended").value)));
  } else if (view === "debugging") {
    once("problems", model.problems, showProblems);
  } else {
    opened?.show();
  }
  tick();
}

function matches(call, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const { agent, session, id, activity, end_reason, worst_bottleneck } = call;
  const own = [agent, session, call.call, id, activity, end_reason, word(COMPONENTS, worst_bottleneck)].join(" ").toLowerCase();
  return words.every((each) => own.includes(each));
}

function tick() {
  if (!model.config || document.hidden) return;
  const waiting = [...model.calls.values()].filter((call) => call.waiting_since !== null && call.ended_at === null);
  numbers.tick(model, env.now, waiting);
  if (view === "calls") now.tick();
  else if (view === "ended") ended.tick();
  else if (view === "call") opened?.tick();
}

function route() {
  const [name, id, turn] = location.hash.slice(1).split("/").map(decoded);
  const before = view;
  view = VIEWS.includes(name) && (name !== "call" || /^[\w-]+$/.test(id)) ? name : "calls";
  if (view !== before) scrollTo(0, 0);
  for (const each of VIEWS) $(`view-${each}`).hidden = each !== view;
  for (const link of document.querySelectorAll("nav a")) put(link, "aria-current", link.hash === `#${view}` ? "page" : null);
  if (opened && (view !== "call" || opened.id !== id)) opened = opened.close();
  if (view === "call") {
    opened ??= new CallView(id, { model, draw });
    opened.want(turn);
    if (!turn) $("call-title").focus();
  }
  if (model.config) render();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

addEventListener("input", draw);
addEventListener("hashchange", route);
addEventListener("keydown", (event) => event.key === "Escape" && view === "call" && (location.hash = "#calls"));
setInterval(tick, 100);
route();
