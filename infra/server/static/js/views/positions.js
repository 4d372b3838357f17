// Positions and risk of each account, and its kill switch.

import { html } from "../lib.js";
import { KillSwitchButton } from "../controls.js";
import { count, money, percent, signClass, signed, time } from "../format.js";
import { href } from "../route.js";
import { ownerOf, positions, resources, risk } from "../store.js";
import { Badge, Figures, Loaded, Panel, Table, Usage } from "../ui.js";

export function Positions() {
  const names = [...new Set([...positions.items.value, ...risk.items.value].map((each) => each.account_id))];
  const tripped = risk.items.value.filter((each) => each.kill_switch).length;
  return html`<div class="title-row"><h1 tabindex="-1">Positions and risk</h1><span class="spacer"></span>
      ${names.length > 0 && html`<span class="actions">${tripped > 0 && html`<${KillSwitchButton} account=${null} active=${true} />`}
        ${tripped < names.length && html`<${KillSwitchButton} account=${null} active=${false} />`}</span>`}</div>
    <${Loaded} of=${resources.positions}><${Loaded} of=${resources.risk}>
      ${names.length ? names.map((name) => html`<${Account} key=${name} name=${name} />`) : html`<p class="empty">No account yet. <a href=${href("submit")}>Start a strategy</a>.</p>`}
    </${Loaded}></${Loaded}>`;
}

function Account({ name }) {
  const state = positions.items.value.find((each) => each.account_id === name);
  const limits = risk.items.value.find((each) => each.account_id === name);
  const owner = ownerOf(name);
  return html`<${Panel} title=${owner?.strategy_id ?? name} note=${owner ? name : null} cls=${limits?.kill_switch ? "account tripped" : "account"} actions=${limits && html`
      <${Badge} state=${limits.kill_switch ? "tripped" : "completed"} tone=${limits.kill_switch ? "bad" : "good"} text=${limits.kill_switch ? "Kill switch tripped" : "Trading allowed"} />
      <${KillSwitchButton} account=${name} active=${limits.kill_switch} />`}>
    ${limits?.pending && html`<p class="note">The kill switch's last change counts from the next slice on.</p>`}
    ${limits?.kill_switch && limits.reason && html`<p class="error-text">${limits.reason}</p>`}
    ${state && html`<${Money} state=${state} />`}
    <div class="columns even">
      <div>${state && html`<${Holdings} state=${state} />`}</div>
      <div>${limits?.limits && html`<${Limits} limits=${limits} state=${state} />`}</div>
    </div>
  </${Panel}>`;
}

function Money({ state }) {
  const pnl = state.equity - state.deposits;
  const gain = (value) => ({ value: signed(value, money(value)), cls: signClass(value) });
  return html`<${Figures} cls="line" items=${[
    { label: "Equity", value: money(state.equity), hint: state.currency },
    { label: "Cash", value: money(state.cash) },
    { label: "PnL", ...gain(pnl) },
    { label: "Realised", ...gain(state.realised_pnl) },
    { label: "Unrealised", ...gain(state.unrealised_pnl) },
    { label: "Commission", value: money(state.commission) },
    { label: "As of (UTC)", value: time(state.updated) },
  ]} />`;
}

function Holdings({ state }) {
  const pnl = (each) => each.unrealised_pnl ?? null;
  return html`<${Table} caption=${`Positions of ${state.account_id}`} rows=${state.positions} keyOf=${(each) => each.instrument_id} empty="No open position." columns=${[
    { title: "Instrument", head: true, cell: (each) => each.instrument_id },
    { title: "Quantity", numeric: true, cell: (each) => count(each.quantity) },
    { title: "Average", numeric: true, wide: true, cell: (each) => money(each.average_price) },
    { title: "Mark", numeric: true, wide: true, cell: (each) => money(each.mark) },
    { title: "Value", numeric: true, wide: true, cell: (each) => money(each.value) },
    { title: "Weight", numeric: true, cell: (each) => percent(each.weight, 1) },
    { title: "PnL", numeric: true, cell: (each) => html`<span class=${signClass(pnl(each))}>${signed(pnl(each), money(pnl(each)))}</span>` },
  ]} />`;
}

function Limits({ limits: { limits }, state }) {
  const weights = state?.positions.map((each) => Math.abs(each.weight ?? 0)) ?? [];
  const heaviest = Math.max(0, ...weights);
  const gross = weights.reduce((sum, each) => sum + each, 0);
  const of = (used, limit) => `${percent(used, 1)} of ${percent(limit, 1)}`;
  return html`<div class="limits">
    <${Usage} label="Largest position" used=${heaviest} limit=${limits.max_position_weight} text=${of(heaviest, limits.max_position_weight)} />
    <${Usage} label="Gross exposure" used=${gross} limit=${limits.max_gross_exposure} text=${of(gross, limits.max_gross_exposure)} />
    <${Figures} cls="rows" items=${[
      { label: "Loss in a session that trips", value: percent(limits.max_daily_loss, 1) },
      { label: "Largest order", value: money(limits.max_order_notional) },
      { label: "Short selling", value: limits.allow_short ? "allowed" : "not allowed" },
    ]} />
  </div>`;
}
