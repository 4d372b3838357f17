// Workflows: their list, and the DAG of the one that is looked at.

import { html } from "../lib.js";
import { askCancelWorkflow } from "../controls.js";
import { Dag } from "../dag.js";
import { between, duration, time } from "../format.js";
import { href, route } from "../route.js";
import { resources, strategies, workflows } from "../store.js";
import { useDetail } from "./detail.js";
import { Badge, Figures, Loaded, Panel, Table } from "../ui.js";

const ownerOf = (workflow) => strategies.items.value.find((each) => each.workflow_id === workflow.workflow_id);
const ENDED = ["completed", "failed", "cancelled"];

export function Workflows() {
  const items = workflows.items.value;
  const wanted = route.value.id;
  const workflow = wanted ? items.find((each) => each.workflow_id === wanted) : items[0];
  return html`<h1 tabindex="-1">Workflows</h1>
    <${Loaded} of=${resources.workflows}>
      ${workflow && html`<${One} workflow=${workflow} />`}
      ${wanted && !workflow && html`<p class="failure">Workflow ${wanted} is not among the newest ${workflows.limit}.</p>`}
      <${Panel} title="All workflows" note="newest first"><${List} items=${items} selected=${workflow?.workflow_id} /></${Panel}>
    </${Loaded}>`;
}

function One({ workflow }) {
  const { item } = useDetail(`/workflows/${encodeURIComponent(workflow.workflow_id)}`, workflow.updated);
  const results = new Map(item?.steps.map((step) => [step.step_id, step.result]));
  const owner = ownerOf(workflow);
  const running = !ENDED.includes(workflow.status);
  return html`<${Panel} title=${owner?.strategy_id ?? workflow.workflow_id} note=${owner && workflow.workflow_id} cls="workflow" actions=${html`<${Badge} state=${workflow.status} />
    ${running && html`<button type="button" class="danger-outline" onClick=${() => askCancelWorkflow(workflow)}>Cancel</button>`}`}>
    <${Figures} cls="line" items=${[
      { label: "Kind", value: workflow.kind },
      { label: "Started (UTC)", value: time(workflow.started) },
      { label: running ? "Last change (UTC)" : "Took", value: running ? time(workflow.updated) : duration(between(workflow.started, workflow.updated)) },
    ]} />
    ${workflow.error && html`<p class="error-text">${workflow.error}</p>`}
    <${Dag} workflow=${workflow} />
    <${Steps} workflow=${workflow} results=${results} />
  </${Panel}>`;
}

function Steps({ workflow, results }) {
  return html`<${Table} caption=${`Steps of ${workflow.workflow_id}`} rows=${workflow.steps} keyOf=${(step) => step.step_id} columns=${[
    { title: "Step", head: true, cell: (step) => step.step_id },
    { title: "Pool and action", wide: true, cell: (step) => html`<code>${step.agent_pool}.${step.action}</code>` },
    { title: "Status", cell: (step) => html`<${Badge} state=${step.status} />` },
    { title: "Attempt", numeric: true, cell: (step) => step.attempt },
    { title: "Took", numeric: true, cell: (step) => duration(between(step.started, step.ended)) },
    { title: "Error or result", cls: "grow", cell: (step) => html`<${Outcome} error=${step.error} result=${results.get(step.step_id)} />` },
  ]} />`;
}

function Outcome({ error, result }) {
  if (error) return html`<span class="error-text">${error}</span>`;
  if (!result || !Object.keys(result).length) return html`<span class="note">–</span>`;
  return html`<details><summary>${Object.keys(result).slice(0, 4).join(", ")}</summary><pre tabindex="0">${JSON.stringify(result, null, 1)}</pre></details>`;
}

function List({ items, selected }) {
  const done = (workflow) => `${workflow.steps.filter((step) => step.status === "completed").length}/${workflow.steps.length}`;
  return html`<${Table} caption="Workflows, newest first" rows=${items} keyOf=${(each) => each.workflow_id} selected=${selected}
    empty="No workflow yet: submit a strategy." columns=${[
      { title: "Workflow", head: true, cell: (each) => html`<a href=${href("workflows", each.workflow_id)} aria-current=${each.workflow_id === selected ? "true" : undefined}>${each.workflow_id}</a>` },
      { title: "Strategy", cell: (each) => { const owner = ownerOf(each); return owner && html`<a href=${href("strategies", owner.strategy_id)}>${owner.strategy_id}</a>`; } },
      { title: "Kind", cell: (each) => each.kind, wide: true },
      { title: "Status", cell: (each) => html`<${Badge} state=${each.status} />` },
      { title: "Steps", numeric: true, cell: done },
      { title: "Started (UTC)", cls: "when", cell: (each) => time(each.started), wide: true },
    ]} />`;
}
