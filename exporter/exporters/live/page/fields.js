// All fields of a turn's turn.metrics, in groups, each with its unit and the metric that it feeds.

import { h, wire } from "./dom.js";
import { number } from "./format.js";

let known; // the answer of /api/v1/fields, asked for once

function ask() {
  known ??= fetch("api/v1/fields").then((answer) => answer.json());
  return known.catch(() => (known = undefined));
}

function shown(value, unit) {
  if (typeof value === "number") return `${number(value)} ${unit ?? ""}`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return wire(text, { class: "long", tabindex: text.length > 400 ? 0 : null }); // what scrolls is reached by keyboard
}

/** The fields of a turn as tables. What the exporter does not describe comes last. */
export async function fieldsOf(turn) {
  const left = new Map(Object.entries(turn.fields)), described = (await ask())?.groups ?? [];
  const own = described.map(({ name, fields }) => ({ name, fields: fields.filter((field) => left.has(field.name)) }));
  for (const { fields } of own) for (const field of fields) left.delete(field.name);
  own.push({ name: "Other", fields: [...left.keys()].map((name) => ({ name })) });
  const row = ({ name, unit, metric, help }) =>
    h("tr", h("th", { scope: "row" }, wire(name)), h("td", shown(turn.fields[name], unit)), h("td", metric && h("code", metric), help && h("small", help)));
  return own.filter(({ fields }) => fields.length).map(({ name, fields }) => h("table.fields", h("caption", name), h("tbody", fields.map(row))));
}
