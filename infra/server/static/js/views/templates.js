// Strategy templates of the server, and the form fields that they declare.

import { get } from "../api.js";
import { signal } from "../lib.js";
import { status } from "../store.js";

const SOME = 3; // symbols that a form begins with
const MANY = 12; // symbols that a hint names
const FREQUENCIES = ["bar", "daily", "weekly", "monthly", "quarterly"];
/** What names a strategy or a backtest. */
export const NAME = { pattern: /^[A-Za-z0-9][\w.:@+-]{0,127}$/, said: "letters, digits and . _ : @ + -, at most 128" };

/** Return the first of stem-1, stem-2 ... that a collection does not have. */
export function freeName(collection, stem) {
  let number = 1;
  while (collection.find(`${stem}-${number}`)) number++;
  return `${stem}-${number}`;
}

export const templates = signal([]);

/** The templates as a resource of the page. */
export const templateList = { problem: signal(null), loaded: signal(false), load };

async function load() {
  try {
    const answer = await get("/templates");
    templates.value = answer.items;
    templateList.loaded.value = true;
    templateList.problem.value = null;
  } catch (error) {
    templateList.problem.value = error;
  }
}

/** Return the fields of the model's parameters. */
export function parameterFields(template) {
  return Object.entries(template.parameters).map(([name, spec]) => ({ ...spec, name, required: spec.default !== null && spec.type !== "list" }));
}

/** Return the fields that every strategy has, with a template's defaults. */
export function commonFields(template) {
  return [
    { name: "symbols", type: "list", required: true, default: offered(template).slice(0, SOME), description: `Separated by commas. Known: ${listed(offered(template))}.`, wide: true },
    { name: "lookback_period", label: "Lookback, bars", type: "int", min: 1, default: 20, required: true, description: "History that a decision looks at." },
    { name: "rebalance_frequency", label: "Rebalance", type: "str", choices: FREQUENCIES, default: "daily", required: true },
  ];
}

// What the feed publishes trades at once; else what the data providers know.
function offered(template) {
  const fed = (status.value?.feed?.instruments ?? []).map((id) => id.split(".")[0]);
  return fed.length ? fed : template.symbols;
}

const listed = (names) => names.slice(0, MANY).join(", ") + (names.length > MANY ? ` and ${names.length - MANY} more` : "");

/** The switch that a template which sells short needs. */
export const shortField = (template) => ({
  name: "allow_short", label: "Allow short positions", type: "bool", default: template.needs_short,
  description: template.needs_short ? "This model means nothing without them." : "",
});

/** Return the parameters out of a form's values. */
export function parametersOf(template, values) {
  const given = parameterFields(template).filter((field) => values[field.name] !== undefined).map((field) => [field.name, values[field.name]]);
  const limits = values.allow_short ? { limits: { allow_short: true } } : {};
  return { ...Object.fromEntries(given), ...limits };
}
