// Parts that every view is made of.

import { html, useEffect, useId, useRef } from "./lib.js";
import { PATHS, toneOf } from "./icons.js";
import { words } from "./format.js";

export function Icon({ name, cls = "" }) {
  return html`<svg class="icon-svg ${cls}" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" focusable="false">
    <path d=${PATHS[name] ?? PATHS.waiting} />
  </svg>`;
}

/** A state as shape, text and colour. */
export function Badge({ state, text, tone }) {
  return html`<span class="badge ${tone ?? toneOf(state)}" data-state=${state}><${Icon} name=${state} />${text ?? words(state)}</span>`;
}

export function Panel({ title, actions, children, cls = "", note }) {
  const id = useId();
  return html`<section class="panel ${cls}" aria-labelledby=${id}>
    <header class="panel-head">
      <h2 id=${id}>${title}</h2>
      ${note && html`<span class="note">${note}</span>`}
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>
    ${children}
  </section>`;
}

/** A definition list of figures: [{label, value, cls, hint}]. */
export function Figures({ items, cls = "" }) {
  return html`<dl class="figures ${cls}">
    ${items.map(({ label, value, cls: tone = "", hint }) => html`<div key=${label}>
      <dt>${label}</dt>
      <dd class=${tone}>${value}${hint && html`<small>${hint}</small>`}</dd>
    </div>`)}
  </dl>`;
}

/** columns: [{title, cell(row), numeric, wide, head}]; wide ones give way on a narrow screen. */
export function Table({ caption, columns, rows, keyOf, empty = "Nothing yet.", selected, shown = 100 }) {
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  const classes = (column) => [column.numeric && "num", column.wide && "wide", column.cls].filter(Boolean).join(" ");
  return html`<div class="scroll" role="group" aria-label=${caption} tabindex="0">
    <table>
      <caption class="hidden">${caption}</caption>
      <thead><tr>${columns.map((column) => html`<th scope="col" class=${classes(column)} key=${column.title}>${column.title}</th>`)}</tr></thead>
      <tbody>
        ${rows.slice(0, shown).map((row) => html`<tr key=${keyOf(row)} class=${selected === keyOf(row) ? "selected" : ""}>
          ${columns.map((column) => column.head
            ? html`<th scope="row" class=${classes(column)} key=${column.title}>${column.cell(row)}</th>`
            : html`<td class=${classes(column)} key=${column.title}>${column.cell(row)}</td>`)}
        </tr>`)}
      </tbody>
    </table>
    ${rows.length > shown && html`<p class="note more">The newest ${shown} of ${rows.length}.</p>`}
  </div>`;
}

/** What failed, why, and a way to try again. */
export function Failure({ problem, retry }) {
  if (!problem) return null;
  return html`<div class="failure" role="alert">
    <${Icon} name="degraded" />
    <div><strong>${problem.title}</strong>${problem.detail && problem.detail !== problem.title && html`<p>${problem.detail}</p>`}
      ${problem.retryAfter && html`<p>Try again in ${problem.retryAfter} s.</p>`}</div>
    ${retry && html`<button type="button" onClick=${retry}>Retry</button>`}
  </div>`;
}

/** What a view shows of a resource that may be loading or have failed. */
export function Loaded({ of: resource, children }) {
  const problem = resource.problem.value;
  return html`<${Failure} problem=${problem} retry=${resource.load} />
    ${resource.loaded.value ? children : !problem && html`<p class="empty">Loading.</p>`}`;
}

/** A modal dialog; the browser keeps the focus in it and gives it back. */
export function Dialog({ title, onClose, children, cls = "" }) {
  const ref = useRef(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  const backdrop = (event) => event.target === ref.current && onClose();
  return html`<dialog ref=${ref} class=${cls} aria-labelledby=${id} onCancel=${(event) => { event.preventDefault(); onClose(); }} onMouseDown=${backdrop}>
    <div class="dialog-body">
      <header class="panel-head"><h2 id=${id}>${title}</h2>
        <button type="button" class="quiet icon" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button></header>
      ${children}
    </div>
  </dialog>`;
}

/** How much of a limit is used, as a bar and in words. */
export function Usage({ label, used, limit, text }) {
  const share = used === null || used === undefined || !limit ? 0 : Math.max(0, Math.abs(used) / limit);
  const tone = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "good";
  return html`<div class="usage">
    <span class="usage-label">${label}</span><span class="usage-text">${text}</span>
    <div class="track" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(Math.min(share, 1) * 100)} aria-valuetext=${text}>
      <div class="fill ${tone}" style=${{ width: `${Math.min(share, 1) * 100}%` }}></div>
    </div>
  </div>`;
}

/** Tabs by the keyboard pattern of ARIA: arrows move, one stop for Tab. */
export function Tabs({ label, tabs, current, onChange }) {
  const keys = tabs.map((tab) => tab.key);
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    onChange(keys[(keys.indexOf(current) + step + keys.length) % keys.length]);
    requestAnimationFrame(() => event.target.parentElement?.querySelector("[aria-selected=true]")?.focus());
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${tabs.map((tab) => html`<button type="button" role="tab" key=${tab.key} id=${`tab-${tab.key}`} aria-controls="tab-panel" aria-selected=${tab.key === current}
      tabindex=${tab.key === current ? 0 : -1} onClick=${() => onChange(tab.key)}>${tab.title}${tab.count !== undefined && html`<span class="tally">${tab.count}</span>`}</button>`)}
  </div>`;
}
