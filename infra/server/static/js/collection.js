// What the page holds of one kind: keyed, bounded, newest first.

import { signal } from "./lib.js";

/** Hold at most `limit` items; `items` changes only on publish, so that a burst of events is one drawing. */
export function collection(idOf, limit) {
  let byId = new Map();
  const items = signal([]);
  let changed = false;

  function put(item) {
    const id = idOf(item);
    const known = byId.get(id);
    if (known && older(item.updated, known.updated)) return;
    byId.set(id, known ? { ...known, ...item } : item);
    if (byId.size > limit) byId.delete(byId.keys().next().value);
    changed = true;
  }

  function replace(newestFirst) {
    byId = new Map(newestFirst.slice(0, limit).reverse().map((item) => [idOf(item), item]));
    changed = true;
  }

  function publish() {
    if (!changed) return;
    changed = false;
    items.value = [...byId.values()].reverse();
  }

  return { items, put, replace, publish, find: (id) => byId.get(id), limit };
}

// An event may overtake a snapshot that was asked for earlier.
function older(time, than) {
  return Boolean(time && than) && Date.parse(time) < Date.parse(than);
}
