// The page's state: snapshots by REST when the stream opens, events afterwards.

import { get } from "./api.js";
import { collection } from "./collection.js";
import { announce, forget, observe } from "./equity.js";
import { batch, signal } from "./lib.js";
import { route } from "./route.js";
import { follow } from "./stream.js";

const ROWS = 300; // newest rows kept of each kind
const FLUSH_MS = 120;
const WAITING = 20_000; // events kept while snapshots load
const REFRESH_MS = 5_000;

export const signals = collection((signal) => signal.id, ROWS);
export const orders = collection((order) => order.order_id, ROWS);
export const fills = collection((fill) => fill.fill_id, ROWS);
export const denials = collection((denial) => denial.proposal_id, ROWS);
export const strategies = collection((strategy) => strategy.strategy_id, ROWS);
export const workflows = collection((workflow) => workflow.workflow_id, ROWS);
export const positions = collection((account) => account.account_id, ROWS);
export const risk = collection((account) => account.account_id, ROWS);
export const backtests = collection((test) => test.test_id, ROWS);
export const topics = collection((topic) => topic.name, ROWS);
export const deadLetters = collection((letter) => `${letter.topic}/${letter.partition}/${letter.offset}`, ROWS);
const collections = [signals, orders, fills, denials, strategies, workflows, positions, risk, backtests, topics, deadLetters];

export const status = signal(null);
export const health = signal(null);
/** {state: connecting | live | reconnecting, reason} */
export const connection = signal({ state: "connecting", reason: "" });
/** Grows each time that the snapshots were loaded anew. */
export const generation = signal(0);

function resource(path, take, options) {
  const problem = signal(null);
  const loaded = signal(false);
  async function load() {
    try {
      const answer = await get(path, options);
      batch(() => {
        take(answer);
        problem.value = null;
        loaded.value = true;
      });
    } catch (error) {
      problem.value = error;
    }
  }
  return { load, problem, loaded };
}

const rows = (items, known = (item) => item) => (answer) => {
  items.replace(answer.items.map((item) => known(item)));
  items.publish();
};

export const resources = {
  status: resource("/status", takeStatus),
  health: resource("/health", (answer) => { health.value = answer; }, { also: [503] }),
  strategies: resource(`/strategies?limit=${ROWS}`, rows(strategies)),
  workflows: resource(`/workflows?limit=${ROWS}`, rows(workflows, timed)),
  signals: resource(`/signals?limit=${ROWS}`, rows(signals)),
  orders: resource(`/orders?limit=${ROWS}`, rows(orders)),
  fills: resource(`/fills?limit=${ROWS}`, rows(fills)),
  denials: resource(`/denials?limit=${ROWS}`, rows(denials)),
  positions: resource(`/positions?limit=${ROWS}`, rows(positions)),
  risk: resource(`/risk?limit=${ROWS}`, rows(risk)),
  topics: resource("/topics", rows(topics)),
  deadLetters: resource(`/dead-letters?limit=100`, rows(deadLetters)),
  backtests: resource(`/backtest?limit=${ROWS}`, rows(backtests)),
};

function takeStatus(answer) {
  if (status.value && status.value.started !== answer.started) forget();
  status.value = answer;
}

// Reports and fills tell where an order stands; one that is no longer listed stays away.
function learnOrder(orderId, change) {
  if (orders.find(orderId)) orders.put({ order_id: orderId, ...change });
}

function takeFill(fill) {
  fills.put(fill);
  const status = fill.leaves_quantity === 0 ? "filled" : "partially_filled";
  learnOrder(fill.order_id, { status, filled_quantity: fill.cumulative_quantity });
}

// A workflow's state tells when it last changed: so a step that is seen to change began or ended then. Between two
// snapshots more than one change may have happened, so these tell no time.
function timed(workflow, changed) {
  const before = new Map(workflows.find(workflow.workflow_id)?.steps.map((step) => [step.step_id, step]));
  const steps = workflow.steps.map((step) => {
    const { started, ended, status: was } = before.get(step.step_id) ?? {};
    const now = was === step.status ? undefined : changed;
    const began = started ?? (step.status === "running" ? now : undefined);
    return { ...step, started: began, ended: ended ?? (began && STEP_ENDS.includes(step.status) ? now : undefined) };
  });
  return { ...workflow, steps };
}

const STEP_ENDS = ["completed", "failed", "cancelled"];
const REPORTED = { OrderAccepted: "accepted", OrderRejected: "rejected", OrderCanceled: "canceled", OrderExpired: "expired" };

const events = {
  signal: signals.put,
  order: orders.put,
  fill: takeFill,
  denial: denials.put,
  report: ({ order_id: id, report, reason }) => learnOrder(id, { status: REPORTED[report], status_reason: reason }),
  strategy: strategies.put,
  workflow: (data) => workflows.put(timed(data, data.updated)),
  risk: risk.put,
  backtest: backtests.put,
  topics: (data) => data.forEach(topics.put),
  health: (data) => { health.value = data; },
  feed: (data) => { if (status.value) status.value = { ...status.value, feed: data }; },
  position: (data) => { positions.put(data); observe(data); },
};

let waiting = [];
let loading = true;
let timer = 0;

function receive(type, data) {
  if (!(type in events) || data === null) return;
  waiting.push([type, data]);
  if (waiting.length > WAITING) waiting = waiting.slice(WAITING / 2);
  if (!loading && !timer) timer = setTimeout(flush, FLUSH_MS);
}

function flush() {
  timer = 0;
  const batched = waiting;
  waiting = [];
  batch(() => {
    for (const [type, data] of batched) events[type](data);
    for (const each of collections) each.publish();
    if (batched.some(([type]) => type === "position")) announce();
  });
}

// Events that come while the snapshots load are applied on top of them, so nothing is missed in between.
async function reload() {
  loading = true;
  await Promise.all(Object.values(resources).map((each) => each.load()));
  loading = false;
  flush();
  batch(() => {
    connection.value = { state: "live", reason: "" };
    generation.value++;
  });
}

/** Follow the server for as long as the page is open. */
export function start() {
  setInterval(refresh, REFRESH_MS);
  follow("/events", {
    opened: reload,
    event: receive,
    lost: (reason) => { connection.value = { state: "reconnecting", reason }; },
  });
}

// The process's own figures have no event.
function refresh() {
  if (connection.value.state !== "live" || document.hidden) return;
  resources.status.load();
  if (route.value.section === "system") resources.deadLetters.load();
}

/** Return the strategy that an account's run belongs to. */
export const ownerOf = (account) => strategies.items.value.find((strategy) => strategy.account_id === account);
