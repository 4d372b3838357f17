// Equity of each account: the server's history, then what the stream adds.

import { get } from "./api.js";
import { signal } from "./lib.js";
import { instant } from "./format.js";

const LONGEST = 4_000; // points; above it every second one is dropped
const EVERY = 10_000; // points asked for: a thinned history would miss peaks, and so show too small a drawdown
const byAccount = new Map();

/** Grows whenever a series changes. */
export const drawn = signal(0);

function empty() {
  return { times: [], equity: [], drawdown: [], peak: -Infinity };
}

/** Return {times (s), equity, drawdown (share below the peak, <= 0)} of an account. */
export function seriesOf(account) {
  if (!byAccount.has(account)) byAccount.set(account, empty());
  return byAccount.get(account);
}

/** Add what a position event says; a time that is not later replaces nothing. */
export function observe({ account_id: account, updated, equity }) {
  append(seriesOf(account), instant(updated) / 1000, equity);
}

export function announce() {
  drawn.value++;
}

/** Load a strategy's history under its account, and keep later points that came meanwhile. */
export async function loadHistory(account, strategyId) {
  const { items } = await get(`/strategies/${encodeURIComponent(strategyId)}/equity?points=${EVERY}`);
  const later = seriesOf(account);
  const series = empty();
  for (const item of items) append(series, instant(item.time) / 1000, item.equity);
  later.times.forEach((time, index) => append(series, time, later.equity[index]));
  byAccount.set(account, series);
  announce();
}

/** Forget all series, as after a restart of the server. */
export function forget() {
  byAccount.clear();
  announce();
}

function append(series, time, equity) {
  const { times } = series;
  if (Number.isNaN(time) || (times.length && time <= times.at(-1))) return;
  series.peak = Math.max(series.peak, equity);
  times.push(time);
  series.equity.push(equity);
  series.drawdown.push(equity / series.peak - 1);
  if (times.length > LONGEST) for (const name of ["times", "equity", "drawdown"]) series[name] = thinned(series[name]);
}

const thinned = (values) => values.filter((_, index) => index % 2 === 0 || index === values.length - 1);
