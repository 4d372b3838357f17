// Submit a strategy from a template.

import { html, useEffect, useState } from "../lib.js";
import { Fields, FormProblem, useForm } from "../form.js";
import { go, href } from "../route.js";
import { strategies } from "../store.js";
import { Icon, Loaded, Panel } from "../ui.js";
import { NAME, commonFields, freeName, parameterFields, parametersOf, shortField, templateList, templates } from "./templates.js";

export function NewStrategy() {
  const [name, setName] = useState(null);
  useEffect(() => { templateList.load(); }, []);
  const template = templates.value.find((each) => each.name === name) ?? templates.value[0];
  return html`<nav class="crumbs" aria-label="Breadcrumb"><a href=${href("strategies")}>Strategies</a><${Icon} name="open" /><span>New</span></nav>
    <h1 tabindex="-1">New strategy</h1>
    <${Loaded} of=${templateList}>
      ${template ? html`<${TemplateForm} key=${template.name} template=${template} onTemplate=${setName} />` : html`<p class="empty">The server has no template.</p>`}
    </${Loaded}>`;
}

function identity(template, free) {
  return [
    { name: "strategy_id", label: "Strategy id", type: "str", required: true, default: free, ...NAME, description: "Names it for good; a running one is not replaced." },
    { name: "name", label: "Title", type: "str", required: true, default: template.title },
  ];
}

const RUN = [
  { name: "initial_cash", label: "Initial cash", type: "float", min: 0.01, description: "Empty: the configured capital." },
  { name: "check_history", label: "Check history first", type: "bool", default: true, description: "Evaluates the model on past bars before it trades." },
];
const EVALUATE = [{ name: "execute", label: "Place paper orders", type: "bool", default: false, description: "At the next slice; otherwise nothing is traded." }];

function TemplateForm({ template, onTemplate }) {
  const [action, setAction] = useState("run");
  const [free] = useState(() => freeName(strategies, template.strategy_type));
  const head = identity(template, free);
  const common = commonFields(template);
  const own = [...parameterFields(template), shortField(template)];
  const options = action === "run" ? RUN : EVALUATE;
  const form = useForm([...head, ...common, ...own, ...options]);
  const names = (fields) => fields.map((field) => field.name);

  async function submit(event) {
    event.preventDefault();
    const accepted = await form.send("/strategies", (values) => body(template, action, values, options));
    if (!accepted) return;
    strategies.put(accepted);
    strategies.publish();
    go("strategies", accepted.strategy_id);
  }

  return html`<form class="stack" ref=${form.form} onSubmit=${submit} noValidate>
    <${Panel} title="Strategy">
      <div class="field full first"><label for="template">Template</label>
        <select id="template" value=${template.name} onChange=${(event) => onTemplate(event.currentTarget.value)}>
          ${templates.value.map((each) => html`<option key=${each.name} value=${each.name}>${each.title}</option>`)}
        </select></div>
      ${template.description && html`<p class="lead">${template.description}</p>`}
      <${Fields} form=${form} names=${[...names(head), ...names(common)]} /></${Panel}>
    <${Panel} title="Parameters"><${Fields} form=${form} names=${names(own)} /></${Panel}>
    <${Panel} title="What to do">
      <fieldset class="choices"><legend class="hidden">Action</legend>
        <label><input type="radio" name="action" value="run" checked=${action === "run"} onChange=${() => setAction("run")} /><span><strong>Run</strong> until it is cancelled: it trades on every slice.</span></label>
        <label><input type="radio" name="action" value="evaluate" checked=${action === "evaluate"} onChange=${() => setAction("evaluate")} /><span><strong>Evaluate</strong> once, as of the last bar.</span></label>
      </fieldset>
      <${Fields} form=${form} names=${names(options)} />
    </${Panel}>
    <${FormProblem} form=${form} />
    <div class="form-actions"><a class="button" href=${href("strategies")}>Back</a>
      <button type="submit" class="primary" disabled=${form.busy}>${form.busy ? "Submitting" : action === "run" ? "Start strategy" : "Evaluate strategy"}</button></div>
  </form>`;
}

function body(template, action, values, options) {
  const chosen = Object.fromEntries(options.filter((field) => values[field.name] !== undefined).map((field) => [field.name, values[field.name]]));
  const { strategy_id, name, symbols, lookback_period, rebalance_frequency } = values;
  return { strategy_id, name, description: template.description, symbols, lookback_period, rebalance_frequency, parameters: { strategy_type: template.strategy_type, ...parametersOf(template, values) }, action, ...chosen };
}
