// The figures that a backtest came to; each mode has some of its own.

import { html } from "../lib.js";
import { count, money, number, percent, words } from "../format.js";
import { Figures, Panel, Table } from "../ui.js";
import { MODES } from "./modes.js";

const SHARES = [
  "total_return", "annual_return", "volatility", "max_drawdown", "var_95", "var_99", "cvar_95", "cvar_99", "cost_drag", "alpha", "win_rate",
  "exposure", "loss_share", "annual_difference", "mean_daily_difference", "probability_of_loss", "confidence",
];
const WHOSE = { stress_test: "Performance of the worst run", ab_test: "Performance of A", monte_carlo: "Performance on the data as they are" };
const PARTS = { stress_test: "stress", ab_test: "ab_test", monte_carlo: "monte_carlo", live_simulation: "live" };

function figure(name, value) {
  if (typeof value !== "number") return String(value);
  return SHARES.includes(name) ? percent(value) : name === "final_value" ? money(value) : number(value);
}

const labelled = (entries) => entries.map(([name, value]) => ({ label: words(name), value: figure(name, value) }));

export function Result({ test }) {
  const { manifest = {}, performance_metrics: metrics, ...result } = test.result;
  const entries = Object.entries(metrics ?? {});
  const none = entries.filter(([, value]) => value === null).map(([name]) => words(name).toLowerCase());
  const note = [manifest.source, manifest.derived, typeof manifest.seed === "number" && `seed ${manifest.seed}`].filter(Boolean).join("; ");
  const part = result[PARTS[test.mode]];
  return html`<${Panel} title=${WHOSE[test.mode] ?? "Performance"} note=${note}>
      <${Figures} cls="grid" items=${labelled(entries.filter(([, value]) => value !== null))} />
      ${none.length > 0 && html`<p class="note">Undefined on this sample: ${none.join(", ")}.</p>`}
    </${Panel}>
    ${part && html`<${Part} title=${MODES[test.mode].title} part=${part} />`}`;
}

function Part({ title, part }) {
  const plain = Object.entries(part).filter(([name, value]) => typeof value === "number" || (typeof value === "string" && name !== "verdict"));
  return html`<${Panel} title=${title}>
    ${part.verdict && html`<p><strong>${part.verdict.charAt(0).toUpperCase() + part.verdict.slice(1)}.</strong></p>`}
    <${Figures} cls="grid" items=${labelled(plain)} />
    ${part.arms && html`<${Arms} arms=${part.arms} />`}
    ${part.distribution && html`<${Distribution} of=${part.distribution} />`}
    ${part.scenarios && html`<${Stressed} runs=${part.runs} />`}
    <details><summary>All figures as JSON</summary><pre tabindex="0">${JSON.stringify(part, null, 2)}</pre></details>
  </${Panel}>`;
}

function Arms({ arms }) {
  const metric = (name) => (arm) => figure(name, arm.performance_metrics[name] ?? "–");
  return html`<${Table} caption="The two strategies" rows=${arms} keyOf=${(arm) => arm.arm} columns=${[
    { title: "Arm", head: true, cell: (arm) => arm.arm },
    { title: "Strategy", cell: (arm) => arm.strategy },
    { title: "Final value", numeric: true, cell: (arm) => money(arm.final_value) },
    { title: "Return", numeric: true, cell: metric("total_return") },
    { title: "Sharpe", numeric: true, cell: metric("sharpe_ratio") },
    { title: "Max drawdown", numeric: true, wide: true, cell: metric("max_drawdown") },
    { title: "Fills", numeric: true, wide: true, cell: (arm) => count(arm.fills) },
  ]} />`;
}

function Distribution({ of }) {
  const levels = Object.keys(Object.values(of)[0]?.percentiles ?? {}).sort((a, b) => a - b);
  return html`<${Table} caption="Distribution over the paths" rows=${Object.entries(of)} keyOf=${([name]) => name} columns=${[
    { title: "Figure", head: true, cell: ([name]) => words(name) },
    ...levels.map((level) => ({ title: `${level} %`, numeric: true, cell: ([name, row]) => figure(name, row.percentiles[level] ?? "–") })),
    { title: "Mean", numeric: true, cell: ([name, row]) => figure(name, row.mean ?? "–") },
    { title: "As it was", numeric: true, cell: ([name, row]) => figure(name, row.real ?? "–") },
  ]} />`;
}

function Stressed({ runs }) {
  return html`<${Table} caption="Runs on shocked data" rows=${runs} keyOf=${(row) => `${row.scenario}/${row.severity}/${row.strategy}`} columns=${[
    { title: "Shock", head: true, cell: (row) => words(row.scenario) },
    { title: "Severity", numeric: true, cell: (row) => number(row.severity) },
    { title: "Strategy", cell: (row) => row.strategy },
    { title: "Final value", numeric: true, cell: (row) => money(row.final_value) },
    { title: "Lost", numeric: true, cell: (row) => percent(row.loss_share) },
    { title: "Slices to recover", numeric: true, wide: true, cell: (row) => (row.time_to_recover === null ? "not again" : count(row.time_to_recover)) },
  ]} />`;
}
