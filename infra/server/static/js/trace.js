// Why something happened: the chain from a fill or an order back to the market-data row.

import { get } from "./api.js";
import { html, signal, useEffect, useState } from "./lib.js";
import { time, words } from "./format.js";
import { Dialog, Failure } from "./ui.js";

const traced = signal(null); // {id, title}

export function WhyButton({ id, what }) {
  return html`<button type="button" class="quiet small" onClick=${() => { traced.value = { id, title: what }; }} aria-label=${`Why ${what}`}>Why</button>`;
}

/** The panel of the chain, where one was asked for. */
export function Trace() {
  return traced.value && html`<${Chain} key=${traced.value.id} ...${traced.value} />`;
}

function Chain({ id, title }) {
  const [links, setLinks] = useState(null);
  const [problem, setProblem] = useState(null);
  const load = () => {
    setProblem(null);
    get(`/trace/${encodeURIComponent(id)}`).then((answer) => setLinks(answer.items), setProblem);
  };
  useEffect(load, [id]);
  return html`<${Dialog} title=${`Why: ${title}`} cls="drawer" onClose=${() => { traced.value = null; }}>
    <p class="note">From the decision back to the data that it rests on, as the log has it.</p>
    <${Failure} problem=${problem} retry=${load} />
    ${!links && !problem && html`<p class="empty">Reading the log.</p>`}
    ${links && html`<ol class="chain">${links.map((link, index) => html`<li key=${index} class=${`depth-${Math.min(link.depth, 6)}`} data-role=${link.role}>
      <strong>${words(link.role)}</strong>
      <p>${link.says}</p>
      <p class="place">${link.topic ? html`<span>${link.topic}, partition ${link.partition}, offset ${link.offset}</span>` : html`<span>not on the log</span>`}
        ${link.time && html`<span>${time(link.time)} UTC</span>`}<code title="id">${link.message_id}</code></p>
    </li>`)}</ol>`}
  </${Dialog}>`;
}
