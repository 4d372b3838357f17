// The address after the hash: #/section/id. Ids may hold any character.

import { computed, signal } from "./lib.js";

const hash = signal(location.hash);
addEventListener("hashchange", () => { hash.value = location.hash; });

/** {section, id}: id is null where the address has none. */
export const route = computed(() => {
  const [section, id] = hash.value.replace(/^#\/?/, "").split("/");
  return { section: section || "overview", id: id ? decodeURIComponent(id) : null };
});

export const href = (section, id) => `#/${section}${id ? `/${encodeURIComponent(id)}` : ""}`;
export const go = (section, id) => { location.hash = href(section, id); };
