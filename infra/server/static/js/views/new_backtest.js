// Submit a backtest, a stress test, an A/B test, a Monte Carlo run or a live simulation.

import { html, useEffect, useState } from "../lib.js";
import { Fields, FormProblem, useForm } from "../form.js";
import { go, href } from "../route.js";
import { backtests } from "../store.js";
import { Icon, Loaded, Panel } from "../ui.js";
import { MODES } from "./modes.js";
import { NAME, commonFields, freeName, parameterFields, parametersOf, shortField, templateList, templates } from "./templates.js";

export function NewBacktest() {
  const [mode, setMode] = useState("historical_backtest");
  const [name, setName] = useState(null);
  useEffect(() => { templateList.load(); }, []);
  const template = templates.value.find((each) => each.name === name) ?? templates.value[0];
  return html`<nav class="crumbs" aria-label="Breadcrumb"><a href=${href("backtests")}>Backtests</a><${Icon} name="open" /><span>New</span></nav>
    <h1 tabindex="-1">New backtest</h1>
    <${Loaded} of=${templateList}>
      ${template && html`<${BacktestForm} key=${`${mode}/${template.name}`} mode=${mode} onMode=${setMode} template=${template} onTemplate=${setName} />`}
    </${Loaded}>`;
}

function BacktestForm({ mode, onMode, template, onTemplate }) {
  const [symbols, ...timing] = commonFields(template);
  const [free] = useState(() => freeName(backtests, `${template.strategy_type}-${MODES[mode].short}`));
  const period = [
    { name: "test_id", label: "Name", type: "str", required: true, default: free, ...NAME, wide: true },
    symbols,
    { name: "start_date", label: "First session", type: "date", default: "2012-01-03", description: "Empty: the first that all symbols have." },
    { name: "end_date", label: "Last session", type: "date", default: "2012-12-31", description: "Empty: the last there is." },
    { name: "initial_capital", label: "Capital", type: "float", min: 0, exclusive_min: true, description: "Empty: the configured one." },
  ];
  const own = [...parameterFields(template), shortField(template)];
  const against = { name: "against", label: "Strategy B", type: "str", choices: templates.value.map((each) => each.strategy_type), default: "buy_and_hold", required: true, description: "With the defaults of its model." };
  const options = [...(mode === "ab_test" ? [against] : []), ...MODES[mode].fields];
  const form = useForm([...period, ...timing, ...own, ...options]);
  const names = (fields) => fields.map((field) => field.name);

  async function submit(event) {
    event.preventDefault();
    const accepted = await form.send("/backtest", (values) => bodyOf(mode, template, values, [...names(period), ...names(MODES[mode].fields)]));
    if (!accepted) return;
    go("backtests", accepted.test_id);
  }

  return html`<form class="stack" ref=${form.form} onSubmit=${submit} noValidate>
    <${Panel} title="What to test">
      <div class="fields">
        <div class="field"><label for="mode">Mode</label><select id="mode" value=${mode} onChange=${(event) => onMode(event.currentTarget.value)}>
          ${Object.entries(MODES).map(([key, each]) => html`<option key=${key} value=${key}>${each.title}</option>`)}</select><p class="hint">${MODES[mode].says}</p></div>
        <div class="field"><label for="model">${mode === "ab_test" ? "Strategy A" : "Strategy"}</label><select id="model" value=${template.name} onChange=${(event) => onTemplate(event.currentTarget.value)}>
          ${templates.value.map((each) => html`<option key=${each.name} value=${each.name}>${each.title}</option>`)}</select><p class="hint">${template.description}</p></div>
      </div>
    </${Panel}>
    <${Panel} title="Data and capital"><${Fields} form=${form} names=${names(period)} /></${Panel}>
    <${Panel} title=${mode === "ab_test" ? "Parameters of strategy A" : "Parameters"}><${Fields} form=${form} names=${names([...timing, ...own])} /></${Panel}>
    ${options.length > 0 && html`<${Panel} title=${MODES[mode].title}><${Fields} form=${form} names=${names(options)} /></${Panel}>`}
    <${FormProblem} form=${form} />
    <div class="form-actions"><a class="button" href=${href("backtests")}>Back</a>
      <button type="submit" class="primary" disabled=${form.busy}>${form.busy ? "Submitting" : "Start"}</button></div>
  </form>`;
}

function bodyOf(mode, template, values, shared) {
  const { lookback_period, rebalance_frequency } = values;
  const strategy = { strategy_type: template.strategy_type, lookback_period, rebalance_frequency, parameters: parametersOf(template, values) };
  const given = Object.fromEntries(shared.filter((name) => values[name] !== undefined).map((name) => [name, values[name]]));
  const asked = mode === "ab_test" ? { strategies: [{ name: "A", ...strategy }, { name: "B", strategy_type: values.against }] } : strategy;
  return { mode, ...given, ...asked };
}
