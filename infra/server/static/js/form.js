// Forms from typed declarations: checked here at once, and again by the server.

import { html, useId, useRef, useState } from "./lib.js";
import { idempotencyKey, request } from "./api.js";
import { words } from "./format.js";
import { Failure } from "./ui.js";

/** A field is {name, type: int|float|str|bool|list|numbers|date, label, default, min, max, exclusive_min, choices, pattern and
 * said (in words), description, required}. */
export function expected({ type, min, max, choices, exclusive_min: above, said }) {
  if (said) return said;
  if (choices) return `${type === "list" ? "some" : "one"} of ${choices.join(", ")}`;
  const kind = KINDS[type] ?? "a text";
  const low = isGiven(min) ? (above ? `above ${min}` : `from ${min}`) : "";
  const high = isGiven(max) ? `up to ${max}` : "";
  return [kind, low, high].filter(Boolean).join(" ");
}

const KINDS = { int: "a whole number", float: "a number", list: "names, separated by commas", numbers: "numbers, separated by commas", date: "a date" };

/** Return {value} or {error} of what stands in a field; the value of an empty optional field is undefined. */
export function read(field, raw) {
  if (field.type === "bool") return { value: Boolean(raw) };
  const text = String(raw ?? "").trim();
  if (text === "") return field.required ? { error: `Needed: ${expected(field)}.` } : { value: undefined };
  const wrong = { error: `${text} is not ${expected(field)}.` };
  if (field.type === "list" || field.type === "numbers") {
    const items = text.split(",").map((item) => item.trim()).filter(Boolean);
    const values = field.type === "list" ? items : items.map(Number);
    const fits = field.type === "list" ? (item) => !field.choices || field.choices.includes(item) : (number) => inRange(field, number);
    return values.length && values.every(fits) ? { value: values } : wrong;
  }
  if (field.type === "int" || field.type === "float") {
    const value = Number(text);
    return inRange(field, value) && (field.type === "float" || Number.isInteger(value)) ? { value } : wrong;
  }
  const fits = !field.choices || field.choices.map(String).includes(text);
  return fits && (!field.pattern || field.pattern.test(text)) ? { value: text } : wrong;
}

function inRange({ min, max, exclusive_min: above }, value) {
  const high = isGiven(min) ? (above ? value > min : value >= min) : true;
  return Number.isFinite(value) && high && (!isGiven(max) || value <= max);
}

const isGiven = (value) => value !== undefined && value !== null;
const shownDefault = (field) => (Array.isArray(field.default) ? field.default.join(", ") : field.default ?? (field.type === "bool" ? false : ""));

/** Hold what stands in the fields; send(path, toBody) checks and posts, and puts each refusal at its field. */
export function useForm(fields) {
  const [given, setGiven] = useState({});
  const [errors, setErrors] = useState({});
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const sent = useRef({});
  const form = useRef(null);
  const raw = (field) => given[field.name] ?? shownDefault(field);

  function check() {
    const found = {};
    const values = {};
    for (const field of fields) {
      const { value, error } = read(field, raw(field));
      if (error) found[field.name] = error;
      else if (value !== undefined) values[field.name] = value;
    }
    setErrors(found);
    return { values, ok: !Object.keys(found).length };
  }

  async function send(path, toBody) {
    const { values, ok } = check();
    setProblem(null);
    if (!ok) return focusFirst(form);
    setBusy(true);
    try {
      const body = toBody(values);
      const answer = await request("POST", path, { body, key: keyOf(sent.current, body) });
      sent.current = {};
      return answer;
    } catch (failure) {
      if (failure.status) sent.current = {};
      const placed = placedErrors(failure, fields);
      setErrors(placed);
      setProblem(failure);
      return focusFirst(form);
    } finally {
      setBusy(false);
    }
  }

  const set = (name, value) => {
    setGiven((before) => ({ ...before, [name]: value }));
    setErrors(({ [name]: _, ...others }) => others);
  };
  return { fields, raw, set, errors, problem, busy, send, form };
}

// Until the server has answered, the same body again is the same wish: a lost answer does nothing twice.
function keyOf(sent, body) {
  const text = JSON.stringify(body);
  if (sent.text !== text) Object.assign(sent, { text, key: idempotencyKey() });
  return sent.key;
}

function focusFirst(form) {
  requestAnimationFrame(() => form.current?.querySelector("[aria-invalid=true]")?.focus());
  return null;
}

// A refusal names its field by a path such as body.parameters.lookback, or its detail names a parameter.
function placedErrors({ errors = [], detail = "" }, fields) {
  const placed = {};
  const isField = (name) => fields.some((field) => field.name === name);
  for (const { where, message } of errors) {
    const name = where.split(".").findLast(isField);
    if (name) placed[name] = message;
  }
  const named = /Parameter '([^']+)'/.exec(detail)?.[1];
  if (isField(named)) placed[named] ??= detail;
  return placed;
}

export function FormProblem({ form }) {
  return html`<${Failure} problem=${form.problem} />`;
}

export function Fields({ form, names }) {
  const shown = names ? form.fields.filter((field) => names.includes(field.name)) : form.fields;
  return html`<div class="fields">${shown.map((field) => html`<${Field} key=${field.name} field=${field} form=${form} />`)}</div>`;
}

function Field({ field, form }) {
  const id = useId();
  const error = form.errors[field.name];
  const range = isGiven(field.min) || isGiven(field.max) ? `${expected(field)}.` : "";
  const hint = [field.description, range.charAt(0).toUpperCase() + range.slice(1)].filter(Boolean).join(" ");
  const common = {
    id, name: field.name, "aria-invalid": error ? "true" : undefined,
    "aria-describedby": `${hint ? `${id}-hint` : ""} ${error ? `${id}-error` : ""}`.trim() || undefined,
    "aria-required": field.required ? "true" : undefined,
  };
  return html`<div class=${`field ${field.type === "bool" ? "check" : ""} ${field.wide ? "full" : ""}`}>
    <label for=${id}>${field.label ?? words(field.name)}${!field.required && field.type !== "bool" && html`<span class="optional"> optional</span>`}</label>
    <${Control} field=${field} form=${form} common=${common} />
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${error && html`<p class="field-error" id=${`${id}-error`}>${error}</p>`}
  </div>`;
}

function Control({ field, form, common }) {
  const value = form.raw(field);
  const set = (event) => form.set(field.name, event.currentTarget.value);
  if (field.type === "bool") return html`<input type="checkbox" ...${common} checked=${Boolean(value)} onChange=${(event) => form.set(field.name, event.currentTarget.checked)} />`;
  if (field.choices && field.type !== "list") {
    return html`<select ...${common} value=${String(value)} onChange=${set}>
      ${!field.required && html`<option value="">default</option>`}
      ${field.choices.map((choice) => html`<option key=${choice} value=${String(choice)}>${field.titles?.[choice] ?? choice}</option>`)}
    </select>`;
  }
  const numeric = field.type === "int" || field.type === "float";
  return html`<input type=${field.type === "date" ? "date" : "text"} inputmode=${numeric ? (field.type === "int" ? "numeric" : "decimal") : undefined}
    autocomplete="off" spellcheck=${false} ...${common} value=${value} onInput=${set} />`;
}
