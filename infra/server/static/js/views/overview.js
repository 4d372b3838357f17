// What there is to know at a glance.

import { html, signal, useEffect, useState } from "../lib.js";
import { EquityChart } from "../chart.js";
import { loadHistory } from "../equity.js";
import { count, duration, money, percent, signClass, signed, time, words } from "../format.js";
import { href } from "../route.js";
import { denials, fills, generation, health, orders, ownerOf, positions, resources, status, strategies } from "../store.js";
import { Badge, Failure, Figures, Loaded, Panel, Table } from "../ui.js";

const chosen = signal(null);

/** The account that figures and charts are of: the chosen one, else that of the newest active strategy. */
function selected(accounts) {
  if (accounts.some((each) => each.account_id === chosen.value)) return chosen.value;
  const active = strategies.items.value.find((each) => each.status === "active" && accounts.some((one) => one.account_id === each.account_id));
  return active?.account_id ?? accounts[0]?.account_id ?? null;
}

export function Overview() {
  const accounts = positions.items.value;
  const account = selected(accounts);
  return html`<h1 tabindex="-1">Overview</h1>
    <${KeyFigures} state=${accounts.find((each) => each.account_id === account)} />
    <div class="columns">
      <div>
        <${Panel} title="Equity and drawdown" actions=${accounts.length > 0 && html`<${AccountChoice} accounts=${accounts} account=${account} />`}>
          ${account ? html`<${AccountChart} account=${account} />` : html`<p class="empty chart-empty">No account yet. <a href=${href("submit")}>Start a strategy</a> and its equity is drawn here.</p>`}
        </${Panel}>
        <${Panel} title="Latest fills" actions=${html`<a href=${href("decisions")}>All decisions</a>`}><${LatestFills} /></${Panel}>
      </div>
      <div><${Health} /><${ActiveStrategies} /></div>
    </div>`;
}

function KeyFigures({ state }) {
  const pnl = state ? state.equity - state.deposits : null;
  const active = strategies.items.value.filter((each) => each.status === "active" || each.status === "running").length;
  return html`<${Figures} cls="key" items=${[
    { label: "Equity", value: money(state?.equity), hint: state?.currency },
    { label: "PnL since start", value: signed(pnl, money(pnl)), cls: signClass(pnl), hint: pnl !== null ? signed(pnl, percent(pnl / state.deposits)) : null },
    { label: "Active strategies", value: count(active) },
    { label: "Orders", value: tally(orders) },
    { label: "Fills", value: tally(fills) },
    { label: "Denials", value: tally(denials) },
    { label: "Uptime", value: duration(status.value?.uptime_s) },
  ]} />`;
}

// The page holds the newest rows only.
const tally = (rows) => (rows.items.value.length < rows.limit ? count(rows.items.value.length) : `${rows.limit} or more`);

function AccountChoice({ accounts, account }) {
  return html`<label class="inline">Account
    <select value=${account} onChange=${(event) => { chosen.value = event.currentTarget.value; }}>
      ${accounts.map((each) => html`<option key=${each.account_id} value=${each.account_id}>${ownerOf(each.account_id)?.strategy_id ?? each.account_id}</option>`)}
    </select></label>`;
}

/** Load what the server has of an account's equity, then draw it as it grows. */
export function AccountChart({ account, height }) {
  const [problem, setProblem] = useState(null);
  const owner = ownerOf(account)?.strategy_id;
  const load = () => {
    setProblem(null);
    if (owner) loadHistory(account, owner).catch(setProblem);
  };
  useEffect(load, [account, owner, generation.value]);
  return html`<${Failure} problem=${problem} retry=${load} /><${EquityChart} account=${account} height=${height} label=${`Equity of ${owner ?? account}`} />`;
}

function Health() {
  const now = health.value;
  return html`<${Panel} title="Health" actions=${now && html`<${Badge} state=${now.status} />`}>
    <${Loaded} of=${resources.health}>
      ${now?.reasons?.length ? html`<ul class="reasons">${now.reasons.map((reason) => html`<li key=${reason}>${reason}</li>`)}</ul>` : html`<p class="empty">All checks pass.</p>`}
      <${Figures} cls="rows" items=${facts()} />
    </${Loaded}>
  </${Panel}>`;
}

function facts() {
  const now = status.value ?? {};
  const flows = now.workflows ?? {};
  return [
    { label: "Version", value: now.version ?? "–" },
    { label: "Mode", value: now.mode ?? "–" },
    { label: "Broker", value: now.broker ?? "–" },
    { label: "Feed", value: feedText(now.feed) },
    { label: "Workflows", value: Object.entries(flows).filter(([, number]) => number).map(([name, number]) => `${count(number)} ${name}`).join(", ") || "none" },
    { label: "Checked", value: time(health.value?.checked) },
  ];
}

export function feedText(feed) {
  if (!feed) return "none in this process";
  return `${feed.source} (${feed.synthetic ? "synthetic" : "real"}), ${feed.status}`;
}

function ActiveStrategies() {
  const running = strategies.items.value.slice(0, 6);
  const stateOf = (strategy) => positions.items.value.find((each) => each.account_id === strategy.account_id);
  return html`<${Panel} title="Strategies" actions=${html`<a href=${href("strategies")}>All</a>`}>
    <${Loaded} of=${resources.strategies}>
      <${Table} caption="Newest strategies" rows=${running} keyOf=${(each) => each.strategy_id} empty="None yet." columns=${[
        { title: "Strategy", head: true, cell: (each) => html`<a href=${href("strategies", each.strategy_id)}>${each.strategy_id}</a>` },
        { title: "Status", cell: (each) => html`<${Badge} state=${each.status} />` },
        { title: "Equity", numeric: true, cell: (each) => money(stateOf(each)?.equity) },
      ]} />
    </${Loaded}>
  </${Panel}>`;
}

function LatestFills() {
  return html`<${Loaded} of=${resources.fills}><${Table} caption="Latest fills" rows=${fills.items.value.slice(0, 8)} keyOf=${(fill) => fill.fill_id} empty="No fills yet." columns=${[
    { title: "Time (UTC)", cls: "when", cell: (fill) => time(fill.time) },
    { title: "Strategy", cell: (fill) => fill.strategy_id, wide: true },
    { title: "Instrument", cell: (fill) => fill.instrument_id },
    { title: "Side", cell: (fill) => html`<span class=${`trade ${fill.side}`}>${words(fill.side.toLowerCase())}</span>` },
    { title: "Quantity", numeric: true, cell: (fill) => count(fill.quantity) },
    { title: "Price", numeric: true, cell: (fill) => money(fill.price) },
  ]} /></${Loaded}>`;
}
