// The page: header, navigation, and the section that the address names.

import { html, render, useEffect, useRef } from "./lib.js";
import { watchChanges } from "./changes.js";
import { Asked } from "./controls.js";
import { Notices } from "./notices.js";
import { href, route } from "./route.js";
import { connection, fills, health, risk, start, status } from "./store.js";
import { choice, choose } from "./theme.js";
import { Trace } from "./trace.js";
import { Badge, Icon } from "./ui.js";
import { Backtests } from "./views/backtests.js";
import { Decisions } from "./views/decisions.js";
import { NewBacktest } from "./views/new_backtest.js";
import { NewStrategy } from "./views/new_strategy.js";
import { Overview } from "./views/overview.js";
import { Positions } from "./views/positions.js";
import { Strategies } from "./views/strategies.js";
import { System } from "./views/system.js";
import { Workflows } from "./views/workflows.js";

const SECTIONS = [
  { key: "overview", title: "Overview", view: Overview },
  { key: "strategies", title: "Strategies", view: Strategies },
  { key: "workflows", title: "Workflows", view: Workflows },
  { key: "decisions", title: "Decisions", view: Decisions },
  { key: "positions", title: "Positions and risk", view: Positions },
  { key: "backtests", title: "Backtests", view: Backtests },
  { key: "system", title: "System", view: System },
];
const FORMS = [
  { key: "submit", title: "New strategy", view: NewStrategy, under: "strategies" },
  { key: "new-backtest", title: "New backtest", view: NewBacktest, under: "backtests" },
];

function App() {
  const { section, id } = route.value;
  const current = [...SECTIONS, ...FORMS].find((each) => each.key === section) ?? SECTIONS[0];
  useEffect(() => { document.title = `${current.title} - FinAgent`; }, [current.key]);
  useEffect(() => { if (sought) focusHeading(); sought = true; }, [section, id]);
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); focusHeading(); }}>Skip to content</a>
    <${Header} />
    <${Navigation} current=${current.under ?? current.key} />
    <main id="main"><${Lost} /><${current.view} /></main>
    <${Asked} /><${Trace} /><${Notices} />`;
}

// On the first load the focus stays where the browser puts it.
let sought = false;

function focusHeading() {
  requestAnimationFrame(() => document.querySelector("main h1")?.focus());
}

function Header() {
  const now = status.value;
  return html`<header class="top">
    <a class="brand" href=${href("overview")}><img src="/static/icon.svg" alt="" width="22" height="22" />FinAgent</a>
    <div class="chips">
      ${now && html`<span class="chip">${now.mode}</span><span class="chip wide-inline">${now.broker}</span>`}
      <${DataLabel} feed=${now?.feed} />
      ${risk.items.value.some((each) => each.kill_switch) && html`<a class="chip bad" href=${href("positions")}>Kill switch tripped</a>`}
    </div>
    <div class="states">
      ${health.value && html`<a href=${href("overview")} aria-label=${`Health: ${health.value.status}`}><${Badge} state=${health.value.status} /></a>`}
      <${ConnectionState} />
      <${ThemeChoice} />
    </div>
  </header>`;
}

// What this process feeds; on another process's feed, what the newest fill was matched on.
function DataLabel({ feed }) {
  const synthetic = feed ? feed.synthetic : fills.items.value[0]?.synthetic;
  if (synthetic === undefined) return null;
  return html`<span class=${`chip ${synthetic ? "warn" : ""}`} title=${feed?.source}>${synthetic ? "Synthetic data" : "Real data"}</span>`;
}

function ConnectionState() {
  const { state } = connection.value;
  const text = { live: "Live", reconnecting: "Reconnecting", connecting: "Connecting" }[state];
  return html`<span class="connection" role="status" aria-live="polite"><${Badge} state=${state} text=${text} /></span>`;
}

function Lost() {
  const { state, reason } = connection.value;
  if (state !== "reconnecting") return null;
  return html`<p class="lost"><${Icon} name="reconnecting" />The connection to the server is lost (${reason}). What is shown may be out of date; trying again.</p>`;
}

function ThemeChoice() {
  return html`<label class="theme"><span class="hidden">Theme</span><select value=${choice.value} onChange=${(event) => choose(event.currentTarget.value)}>
    <option value="system">System</option><option value="light">Light</option><option value="dark">Dark</option></select></label>`;
}

function Navigation({ current }) {
  const nav = useRef(null);
  useEffect(() => {
    const link = nav.current.querySelector("[aria-current]");
    if (link) nav.current.scrollLeft = link.offsetLeft - (nav.current.clientWidth - link.offsetWidth) / 2;
  }, [current]);
  return html`<nav class="side" aria-label="Sections" ref=${nav}><ul>
    ${SECTIONS.map((each) => html`<li key=${each.key}><a href=${href(each.key)} aria-current=${each.key === current ? "page" : undefined}>${each.title}</a></li>`)}
  </ul><p class="foot"><a href="/docs">API</a> <a href="/metrics">Metrics</a><span>${status.value?.version && `Version ${status.value.version}`}</span></p></nav>`;
}

document.querySelector("#app").replaceChildren();
render(html`<${App} />`, document.querySelector("#app"));
watchChanges();
start();
