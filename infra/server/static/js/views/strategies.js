// Strategies: their list, one of them, and the form for a new one.

import { html } from "../lib.js";
import { askCancelStrategy } from "../controls.js";
import { Dag } from "../dag.js";
import { NONE, money, number, signClass, signed, time, words } from "../format.js";
import { href, route } from "../route.js";
import { positions, resources, strategies, workflows } from "../store.js";
import { useDetail } from "./detail.js";
import { Badge, Failure, Figures, Icon, Loaded, Panel, Table } from "../ui.js";
import { AccountChart } from "./overview.js";

const RUNNING = ["running", "active"];

export function Strategies() {
  const { id } = route.value;
  if (id) return html`<${One} id=${id} />`;
  return html`<div class="title-row"><h1 tabindex="-1">Strategies</h1><a class="button primary" href=${href("submit")}>New strategy</a></div>
    <${Panel} title="All strategies" note="newest first"><${Loaded} of=${resources.strategies}><${List} /></${Loaded}></${Panel}>`;
}

const accountOf = (strategy) => positions.items.value.find((each) => strategy.account_id && each.account_id === strategy.account_id);
const pnlOf = (state) => (state ? state.equity - state.deposits : null);

function List() {
  return html`<${Table} caption="Strategies, newest first" rows=${strategies.items.value} keyOf=${(each) => each.strategy_id}
    empty="No strategy yet." columns=${[
      { title: "Strategy", head: true, cell: (each) => html`<a href=${href("strategies", each.strategy_id)}>${each.strategy_id}</a>` },
      { title: "Status", cell: (each) => html`<${Badge} state=${each.status} />` },
      { title: "Model", wide: true, cell: (each) => each.definition.parameters.strategy_type ?? "momentum" },
      { title: "Symbols", wide: true, cell: (each) => each.definition.symbols.join(", ") },
      { title: "Equity", numeric: true, cell: (each) => money(accountOf(each)?.equity) },
      { title: "PnL", numeric: true, cell: (each) => { const pnl = pnlOf(accountOf(each)); return html`<span class=${signClass(pnl)}>${signed(pnl, money(pnl))}</span>`; } },
      { title: "Created (UTC)", cls: "when", wide: true, cell: (each) => time(each.created) },
      { title: "Cancel", cell: (each) => RUNNING.includes(each.status) && html`<${CancelButton} strategy=${each} />` },
    ]} />`;
}

function CancelButton({ strategy }) {
  return html`<button type="button" class="danger-outline small" aria-label=${`Cancel strategy ${strategy.strategy_id}`} onClick=${() => askCancelStrategy(strategy)}>Cancel</button>`;
}

function One({ id }) {
  const strategy = strategies.items.value.find((each) => each.strategy_id === id);
  return html`<nav class="crumbs" aria-label="Breadcrumb"><a href=${href("strategies")}>Strategies</a><${Icon} name="open" /><span>${id}</span></nav>
    <${Loaded} of=${resources.strategies}>
      ${strategy ? html`<${Detail} key=${id} strategy=${strategy} />` : html`<p class="failure">The server knows no strategy ${id}.</p>`}
    </${Loaded}>`;
}

function Detail({ strategy }) {
  const { item, problem, load } = useDetail(`/strategies/${encodeURIComponent(strategy.strategy_id)}`, strategy.updated);
  const { definition } = strategy;
  const state = accountOf(strategy);
  const pnl = pnlOf(state);
  const workflow = workflows.items.value.find((each) => each.workflow_id === strategy.workflow_id) ?? strategy.workflow;
  return html`<div class="title-row"><h1 tabindex="-1">${definition.name}</h1><${Badge} state=${strategy.status} />
      <span class="spacer"></span>${RUNNING.includes(strategy.status) && html`<${CancelButton} strategy=${strategy} />`}</div>
    ${definition.description && html`<p class="lead">${definition.description}</p>`}
    <${Failure} problem=${problem} retry=${load} />
    ${strategy.error && html`<p class="failure">${strategy.error}</p>`}
    <${Figures} cls="key" items=${[
      { label: "Equity", value: money(state?.equity), hint: state?.currency },
      { label: "PnL since start", value: signed(pnl, money(pnl)), cls: signClass(pnl) },
      { label: "Cash", value: money(state?.cash) },
      { label: "Action", value: strategy.action === "run" ? "Run until stopped" : "Evaluate once", cls: "text" },
      { label: "Created (UTC)", value: time(strategy.created), cls: "text" },
      { label: "Updated (UTC)", value: time(strategy.updated), cls: "text" },
    ]} />
    <div class="columns">
      <div>
        ${strategy.account_id && html`<${Panel} title="Equity and drawdown"><${AccountChart} account=${strategy.account_id} /></${Panel}>`}
        ${item?.result && html`<${Result} result=${item.result} />`}
        ${workflow?.steps && html`<${Panel} title="Workflow" actions=${html`<a href=${href("workflows", workflow.workflow_id)}>Open</a>`}><${Dag} workflow=${workflow} /></${Panel}>`}
      </div>
      <div><${Panel} title="Definition"><${Figures} cls="rows" items=${definitionRows(strategy)} /></${Panel}></div>
    </div>`;
}

function definitionRows(strategy) {
  const { symbols, lookback_period: lookback, rebalance_frequency: frequency, parameters } = strategy.definition;
  return [
    { label: "Strategy", value: strategy.strategy_id },
    { label: "Run", value: strategy.run_id ?? NONE },
    { label: "Account", value: strategy.account_id ?? NONE },
    { label: "Symbols", value: symbols.join(", ") },
    { label: "Lookback", value: `${lookback} bars` },
    { label: "Rebalance", value: frequency },
    ...Object.entries(parameters).map(([name, value]) => ({ label: words(name), value: shown(value) })),
  ];
}

const shown = (value) => (typeof value === "number" ? number(value) : typeof value === "object" ? JSON.stringify(value) : String(value));

function Result({ result }) {
  const figures = { ...result.risk_metrics, ...result.transaction_costs };
  const plain = Object.entries(figures).filter(([, value]) => typeof value !== "object" || value === null);
  return html`<${Panel} title="Evaluation" note=${result.data?.note}>
    <${Table} caption="Signals" rows=${result.signals ?? []} keyOf=${(each) => each.symbol ?? each.instrument_id} empty="No signals." columns=${[
      { title: "Symbol", head: true, cell: (each) => each.symbol ?? each.instrument_id },
      { title: "Signal", cell: (each) => html`<span class=${`trade ${each.signal}`}>${words(each.signal.toLowerCase())}</span>` },
      { title: "Confidence", numeric: true, cell: (each) => number(each.confidence) },
      { title: "Score", numeric: true, wide: true, cell: (each) => number(each.score) },
      { title: "Price", numeric: true, cell: (each) => money(each.price) },
    ]} />
    <${Figures} cls="rows" items=${plain.map(([name, value]) => ({ label: words(name), value: shown(value ?? NONE) }))} />
  </${Panel}>`;
}
