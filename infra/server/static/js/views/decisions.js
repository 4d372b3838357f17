// Signals, orders, fills and denials as they come.

import { html, signal, useMemo, useState } from "../lib.js";
import { count, money, number, time, words } from "../format.js";
import { denials, fills, orders, resources, signals } from "../store.js";
import { WhyButton } from "../trace.js";
import { Badge, Failure, Icon, Panel, Table, Tabs } from "../ui.js";

const KINDS = { signals, orders, fills, denials };
const tab = signal("all");
const strategy = signal("");
const instrument = signal("");

export function Decisions() {
  const [frozen, setFrozen] = useState(null);
  const live = Object.fromEntries(Object.entries(KINDS).map(([name, items]) => [name, items.items.value]));
  const shown = frozen ?? live;
  const every = useMemo(() => Object.values(shown).flat(), [shown.signals, shown.orders, shown.fills, shown.denials]);
  const kept = (row) => (!strategy.value || row.strategy_id === strategy.value) && (!instrument.value || row.instrument_id === instrument.value);
  const rows = Object.fromEntries(Object.entries(shown).map(([name, items]) => [name, items.filter(kept)]));
  const tabs = [{ key: "all", title: "All" }, ...Object.keys(KINDS).map((key) => ({ key, title: words(key), count: rows[key].length }))];
  const missed = frozen ? Object.keys(KINDS).reduce((sum, name) => sum + newer(live[name], frozen[name]), 0) : 0;
  return html`<h1 tabindex="-1">Market and decisions</h1>
    ${Object.keys(KINDS).map((name) => html`<${Failure} key=${name} problem=${resources[name].problem.value} retry=${resources[name].load} />`)}
    <${Panel} title="Decisions" note=${frozen ? `paused, ${missed >= 300 ? "300 or more" : missed} new since` : "newest first"} actions=${html`
      <${Filter} label="Strategy" of=${strategy} values=${every.map((row) => row.strategy_id)} />
      <${Filter} label="Instrument" of=${instrument} values=${every.map((row) => row.instrument_id)} />
      <button type="button" aria-pressed=${Boolean(frozen)} onClick=${() => setFrozen(frozen ? null : live)}><${Icon} name=${frozen ? "play" : "pause"} />${frozen ? "Resume" : "Pause"}</button>`}>
      <${Tabs} label="Kind of decision" tabs=${tabs} current=${tab.value} onChange=${(key) => { tab.value = key; }} />
      <div id="tab-panel" role="tabpanel" aria-labelledby=${`tab-${tab.value}`}>${VIEWS[tab.value](rows)}</div>
    </${Panel}>`;
}

function newer(now, before) {
  const at = now.indexOf(before[0]);
  return at < 0 ? now.length : at;
}

function Filter({ label, of, values }) {
  const names = [...new Set([...values, of.value])].filter(Boolean).sort();
  return html`<label class="inline">${label}<select value=${of.value} onChange=${(event) => { of.value = event.currentTarget.value; }}>
    <option value="">all</option>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>`;
}

const when = { title: "Time (UTC)", cls: "when", cell: (row) => time(row.time) };
const whose = { title: "Strategy", wide: true, cell: (row) => row.strategy_id };
const what = { title: "Instrument", cell: (row) => row.instrument_id };
const side = { title: "Side", cell: (row) => html`<span class=${`trade ${row.side}`}>${words(row.side.toLowerCase())}</span>` };
const quantity = { title: "Quantity", numeric: true, cell: (row) => count(row.quantity) };
const why = (kind) => ({ title: "Why", cell: (row) => html`<${WhyButton} id=${row.id} what=${`${kind} ${row.side?.toLowerCase() ?? ""} ${row.instrument_id}, ${time(row.time)}`} />` });
const label = (row) => (row.synthetic ? html`<span class="chip">synthetic</span>` : null);

const VIEWS = {
  all: (rows) => html`<${Table} caption="All decisions" rows=${merged(rows)} keyOf=${(row) => row.key} empty="No decisions yet." columns=${[
    when, { title: "Kind", cell: (row) => html`<span class=${`kind ${row.kind}`}>${row.kind}</span>` }, whose, what, { title: "What", cls: "grow", cell: (row) => row.says },
    { title: "Why", cell: (row) => html`<${WhyButton} id=${row.id} what=${`${row.kind.toLowerCase()} of ${row.instrument_id}, ${time(row.time)}`} />` },
  ]} />`,
  signals: (rows) => html`<${Table} caption="Signals" rows=${rows.signals} keyOf=${(row) => row.id} empty="No signals yet." columns=${[
    when, whose, what, { title: "Signal", cell: (row) => html`<span class=${`trade ${row.signal}`}>${words(row.signal.toLowerCase())}</span>` },
    { title: "Score", numeric: true, wide: true, cell: (row) => number(row.score) }, { title: "Confidence", numeric: true, cell: (row) => number(row.confidence) },
    { title: "Price", numeric: true, cell: (row) => money(row.price) }, { title: "Model", wide: true, cell: (row) => row.model },
  ]} />`,
  orders: (rows) => html`<${Table} caption="Orders" rows=${rows.orders} keyOf=${(row) => row.order_id} empty="No orders yet." columns=${[
    when, whose, what, side, quantity, { title: "Type", wide: true, cell: (row) => row.order_type },
    { title: "Status", cell: (row) => html`<${Badge} state=${row.status} />` }, { title: "Filled", numeric: true, wide: true, cell: (row) => count(row.filled_quantity) },
    why("order"),
  ]} />`,
  fills: (rows) => html`<${Table} caption="Fills" rows=${rows.fills} keyOf=${(row) => row.fill_id} empty="No fills yet." columns=${[
    when, whose, what, side, quantity, { title: "Price", numeric: true, cell: (row) => money(row.price) },
    { title: "Costs", numeric: true, wide: true, cell: (row) => money(row.commission + row.spread_cost + row.impact_cost) },
    { title: "Data", wide: true, cell: label }, why("fill"),
  ]} />`,
  denials: (rows) => html`<${Table} caption="Denials" rows=${rows.denials} keyOf=${(row) => row.proposal_id} empty="No denials." columns=${[
    when, whose, what, side, quantity, { title: "Code", cell: (row) => html`<code class="denied">${row.code}</code>` }, { title: "Reason", cls: "grow", cell: (row) => row.reason },
    why("denial"),
  ]} />`,
};

const SAYS = {
  signals: (row) => ({ kind: "Signal", says: `${words(row.signal.toLowerCase())} at ${money(row.price)}, confidence ${number(row.confidence)}` }),
  orders: (row) => ({ kind: "Order", says: `${words(row.side.toLowerCase())} ${count(row.quantity)}, ${row.order_type.toLowerCase()}, ${row.status.replaceAll("_", " ")}` }),
  fills: (row) => ({ kind: "Fill", says: `${row.side === "BUY" ? "Bought" : "Sold"} ${count(row.quantity)} at ${money(row.price)}` }),
  denials: (row) => ({ kind: "Denial", says: `${words(row.side.toLowerCase())} ${count(row.quantity)} denied, ${row.code}` }),
};
// Of one instant: orders are filled, then signals are decided on, then new orders are.
const RANK = { Fill: 0, Signal: 1, Order: 2, Denial: 2 };

function merged(rows) {
  const every = Object.entries(rows).flatMap(([name, items]) => items.map((row) => ({ ...row, ...SAYS[name](row) })));
  every.forEach((row) => { row.key = `${row.kind}-${row.id}`; row.at = Date.parse(row.time); });
  return every.sort((a, b) => b.at - a.at || RANK[b.kind] - RANK[a.kind]);
}
