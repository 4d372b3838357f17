// Equity over time, and below it the drawdown, drawn by uPlot from a growing series.

import { html, uPlot, useEffect, useRef, useState } from "./lib.js";
import { drawn, seriesOf } from "./equity.js";
import { money, percent, time } from "./format.js";
import { choice, dark } from "./theme.js";

const EQUITY_SHARE = 0.64;
const AXIS_WIDTH = 60;
const NARROW = 520; // px; below it the value axis is slimmer
const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC");
const stamp = (seconds) => time(new Date(seconds * 1e3).toISOString());

// uPlot's own are American; per row: step in s, text, and what is added where the year or the day begins.
const DAY = 86_400;
const TICKS = [
  [365 * DAY, "{YYYY}", null, null, null, null, null, null, 1],
  [28 * DAY, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [DAY, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  [0.001, "{ss}.{fff}", "\n{D} {MMM} {HH}:{mm}", null, null, null, "\n{HH}:{mm}", null, 1],
];

/** Draw an account's equity; height in pixels. */
export function EquityChart({ account, height = 320, label }) {
  const frame = useRef(null);
  const charts = useRef(null);
  const [pointed, setPointed] = useState(null);
  const version = drawn.value;
  const series = seriesOf(account);
  const theme = `${choice.value}-${dark()}`;
  const some = series.times.length > 1;

  useEffect(() => {
    if (!some) return undefined;
    charts.current = build(frame.current, height, setPointed);
    feed(charts.current, seriesOf(account));
    const observer = new ResizeObserver(() => resize(charts.current, frame.current, height));
    observer.observe(frame.current);
    return () => {
      observer.disconnect();
      charts.current.forEach((chart) => chart.destroy());
      charts.current = null;
    };
  }, [account, theme, height, some]);

  useEffect(() => {
    if (charts.current) feed(charts.current, seriesOf(account));
  }, [version]);

  if (!some) return html`<p class="empty chart-empty">Equity appears here once the account is marked on market data.</p>`;
  return html`<${Legend} series=${series} at=${pointed ?? series.times.length - 1} />
    <div class="chart" role="img" aria-label=${spoken(label, series)} data-points=${series.times.length} ref=${frame}></div>`;
}

// What the pointer is at, else the newest point.
function Legend({ series: { times, equity, drawdown }, at }) {
  const index = Math.min(at, times.length - 1);
  return html`<p class="legend" aria-hidden="true"><span>${stamp(times[index])} UTC</span><span class="is-equity">Equity <b>${money(equity[index])}</b></span>
    <span class="is-drawdown">Drawdown <b>${percent(-drawdown[index])}</b></span></p>`;
}

function spoken(label, { times, equity, drawdown }) {
  const lowest = drawdown.reduce((low, each) => Math.min(low, each), 0);
  return `${label}: ${times.length} points from ${stamp(times[0])} to ${stamp(times.at(-1))} UTC, last equity ${money(equity.at(-1))}, largest drawdown ${percent(-lowest)}.`;
}

function build(frame, height, point) {
  const colour = palette(frame);
  const width = frame.clientWidth;
  const heights = split(height);
  const cursor = { sync: { key: `equity-${Math.random()}` }, drag: { x: true, y: false }, points: { size: 6 } };
  const axis = { stroke: colour("--muted"), font: "11px system-ui, sans-serif", grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false } };
  const value = { ...axis, size: width < NARROW ? AXIS_WIDTH - 10 : AXIS_WIDTH, gap: 6, space: 28 };
  const hooks = { setCursor: [(chart) => point(chart.cursor.idx ?? null)] };
  const chart = (size, padding, own) =>
    new uPlot({ width, height: size, padding, tzDate: utc, cursor, legend: { show: false }, ...own }, [[], []], frame);
  const line = (name, wash) => [{}, { stroke: colour(name), fill: colour(wash), width: 1.5, points: { show: false } }];
  return [
    chart(heights[0], [8, 14, 4, 0], {
      hooks,
      axes: [{ ...axis, size: 4, values: (_, ticks) => ticks.map(() => "") }, { ...value, values: (_, ticks) => amounts(ticks) }],
      series: line("--accent", "--accent-wash"),
    }),
    chart(heights[1], [8, 14, 0, 0], {
      axes: [{ ...axis, size: 38, values: TICKS }, { ...value, values: (_, ticks) => ticks.map((tick) => (tick ? `${+(tick * 100).toFixed(2)} %` : "0 %")) }],
      scales: { y: { range: (_, low) => [Math.min(low ?? 0, -0.001) * 1.1, 0] } },
      series: line("--bad", "--bad-wash"),
    }),
  ];
}

// A canvas needs colours as they come out: a custom property alone is still light-dark(...).
function palette(frame) {
  const probe = frame.appendChild(document.createElement("span"));
  const found = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const names = ["--muted", "--grid", "--accent", "--accent-wash", "--bad", "--bad-wash"];
  const colours = Object.fromEntries(names.map((name) => [name, found(name)]));
  probe.remove();
  return (name) => colours[name];
}

// In millions or thousands, with as many digits as tell one tick from the next.
function amounts(ticks) {
  const largest = Math.max(...ticks.map(Math.abs));
  const [unit, suffix] = largest >= 1e6 ? [1e6, "M"] : largest >= 1e4 ? [1e3, "K"] : [1, ""];
  const digits = ticks.length < 2 ? 2 : Math.max(0, Math.ceil(-Math.log10((ticks[1] - ticks[0]) / unit) - 1e-9));
  return ticks.map((tick) => `${(tick / unit).toFixed(digits)}${suffix}`);
}

const split = (height) => [Math.round(height * EQUITY_SHARE), Math.round(height * (1 - EQUITY_SHARE))];

function feed([equity, drawdown], series) {
  equity.setData([series.times, series.equity]);
  drawdown.setData([series.times, series.drawdown]);
}

function resize(charts, frame, height) {
  if (!charts || !frame.clientWidth) return;
  charts.forEach((chart, index) => chart.setSize({ width: frame.clientWidth, height: split(height)[index] }));
}
