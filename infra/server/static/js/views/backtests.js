// Backtests: their list and one of them with its result.

import { html } from "../lib.js";
import { NONE, between, count, duration, money, time, words } from "../format.js";
import { href, route } from "../route.js";
import { backtests, resources } from "../store.js";
import { Badge, Failure, Figures, Icon, Loaded, Panel, Table } from "../ui.js";
import { useDetail } from "./detail.js";
import { Result } from "./backtest_result.js";
import { MODES } from "./modes.js";

export function Backtests() {
  const { id } = route.value;
  if (id) return html`<${One} key=${id} id=${id} />`;
  return html`<div class="title-row"><h1 tabindex="-1">Backtests</h1><a class="button primary" href=${href("new-backtest")}>New backtest</a></div>
    <${Panel} title="All backtests" note="newest first"><${Loaded} of=${resources.backtests}><${List} /></${Loaded}></${Panel}>`;
}

const modeOf = (test) => MODES[test.mode]?.title ?? words(test.mode);
const symbolsOf = (test) => (test.config.symbols ?? []).join(", ");

function List() {
  return html`<${Table} caption="Backtests, newest first" rows=${backtests.items.value} keyOf=${(test) => test.test_id} empty="No backtest yet." columns=${[
    { title: "Backtest", head: true, cell: (test) => html`<a href=${href("backtests", test.test_id)}>${test.test_id}</a>` },
    { title: "Status", cell: (test) => html`<${Badge} state=${test.status} />` },
    { title: "Mode", cell: modeOf },
    { title: "Symbols", wide: true, cell: symbolsOf },
    { title: "Created (UTC)", cls: "when", wide: true, cell: (test) => time(test.created) },
    { title: "Took", numeric: true, wide: true, cell: (test) => duration(between(test.created, test.finished)) },
    { title: "Report", cell: (test) => test.report && html`<${Report} test=${test} />` },
  ]} />`;
}

function Report({ test, cls = "" }) {
  return html`<a class=${cls} href=${test.report} target="_blank" rel="noopener" aria-label=${`Report of ${test.test_id}, in a new tab`}>Report</a>`;
}

function One({ id }) {
  const listed = backtests.items.value.find((test) => test.test_id === id);
  const { item, problem, load } = useDetail(`/backtest/${encodeURIComponent(id)}`, listed?.status);
  const test = item && { ...item, ...(listed?.status && { status: listed.status }) };
  return html`<nav class="crumbs" aria-label="Breadcrumb"><a href=${href("backtests")}>Backtests</a><${Icon} name="open" /><span>${id}</span></nav>
    <div class="title-row"><h1 tabindex="-1">${id}</h1>${test && html`<${Badge} state=${test.status} />`}<span class="spacer"></span>
      ${test?.report && html`<${Report} test=${test} cls="button primary" />`}</div>
    <${Failure} problem=${problem} retry=${load} />
    ${test && html`<${Facts} test=${test} />`}
    ${test?.error && html`<p class="failure" role="alert">${test.error}</p>`}
    ${test?.result && html`<${Result} test=${test} />`}
    ${test && html`<${Panel} title="Configuration"><pre tabindex="0">${JSON.stringify(test.config, null, 2)}</pre></${Panel}>`}`;
}

function Facts({ test }) {
  return html`<${Figures} cls="key" items=${[
    { label: "Mode", value: modeOf(test), cls: "text" },
    { label: "Symbols", value: symbolsOf(test) || NONE, cls: "text" },
    { label: "Created (UTC)", value: time(test.created), cls: "text" },
    { label: "Took", value: duration(between(test.created, test.finished)) },
    { label: "Final equity", value: money(test.result?.final_equity) },
    { label: "Orders", value: count(test.result?.orders) },
    { label: "Fills", value: count(test.result?.fills) },
    { label: "Denials", value: count(test.result?.denials) },
  ].filter((each) => each.value !== NONE)} />`;
}
