// The words and colours of what the API names. A component has the colour that it has on the Grafana boards.

import { h } from "./dom.js";

export const COMPONENTS = {
  endpointing: ["end of turn", "detection"],
  callback: ["callback", "callback"],
  llm: ["LLM", "llm"],
  tts: ["TTS", "tts"],
  realtime: ["realtime", "realtime"],
  unexplained: ["unexplained", "rest"],
};

export const STAGES = {
  user_speech: ["caller speaks", "user"],
  speech_to_text: ["speech to text", "stt"],
  turn_detection: ["turn detection", "detection"],
  chat: ["LLM", "llm"],
  text_to_speech: ["text to speech", "tts"],
  realtime_inference: ["realtime", "realtime"],
  response: ["waits for the agent", "rest"],
  agent_speech: ["agent speaks", "agent"],
};

export const MARKS = { interruption: [, "trouble"], dead_air: [, "trouble"], error: [, "trouble"] };

/** The word for a name; for one that has none, the name itself. */
export const word = (words, name) => words[name]?.[0] ?? name?.replaceAll("_", " ");
export const tint = (words, name) => `c-${words[name]?.[1] ?? "mark"}`;

/** A component with its colour, or nothing. */
export const part = (name) => name && h("small.dot", { class: tint(COMPONENTS, name) }, word(COMPONENTS, name));
