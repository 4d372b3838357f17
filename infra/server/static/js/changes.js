// Tells of changed states, so that nobody has to watch a table for them.

import { effect, untracked } from "./lib.js";
import { words } from "./format.js";
import { toneOf } from "./icons.js";
import { notify } from "./notices.js";
import { backtests, generation, strategies } from "./store.js";

const FEW = 3; // changes at once that are told one by one

/** Follow a collection's states from the first snapshot on. */
function watch(collection, name, idOf) {
  let before = new Map();
  let seen = 0;
  effect(() => {
    const now = new Map(collection.items.value.map((item) => [idOf(item), item.status]));
    const changed = [...now].filter(([id, status]) => before.get(id) !== status);
    // What a snapshot brings is not news.
    if (seen && seen === generation.value) untracked(() => tell(changed, name));
    seen = generation.value;
    before = now;
  });
}

function tell(changed, name) {
  if (changed.length > FEW) return notify(`${changed.length} changes: ${name.toLowerCase()} ${changed.slice(0, FEW).map(([id]) => id).join(", ")} and others.`);
  for (const [id, status] of changed) notify(`${name} ${id}: ${words(status).toLowerCase()}.`, toneOf(status));
}

export function watchChanges() {
  watch(strategies, "Strategy", (strategy) => strategy.strategy_id);
  watch(backtests, "Backtest", (test) => test.test_id);
}
