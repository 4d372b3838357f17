// Short messages about what just changed, told to screen readers too.

import { html, signal } from "./lib.js";
import { Icon } from "./ui.js";

const SHOWN_MS = 8_000;
const notices = signal([]);
let last = 0;

/** Tell something once; kind: good, bad or info. */
export function notify(text, kind = "info") {
  const id = ++last;
  notices.value = [...notices.value.slice(-2), { id, text, kind }];
  setTimeout(() => dismiss(id), SHOWN_MS);
}

function dismiss(id) {
  notices.value = notices.value.filter((each) => each.id !== id);
}

export function Notices() {
  return html`<div class="notices" role="status" aria-live="polite">
    ${notices.value.map((each) => html`<div class="notice ${each.kind}" key=${each.id}>
      <span>${each.text}</span>
      <button type="button" class="quiet icon" aria-label="Dismiss" onClick=${() => dismiss(each.id)}><${Icon} name="close" /></button>
    </div>`)}
  </div>`;
}
