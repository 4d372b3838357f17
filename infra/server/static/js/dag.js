// The DAG of a workflow: each step a box with its state as shape, text and colour.

import { html, useEffect, useMemo, useRef, useState } from "./lib.js";
import { PATHS, toneOf } from "./icons.js";
import { layered } from "./layers.js";
import { words } from "./format.js";

const BOX = { width: 176, height: 58 };
const NARROW = 640; // px; below it the DAG runs downwards
const GAP = { right: 46, down: 34, across: 14, edge: 6 };

export function Dag({ workflow }) {
  const frame = useRef(null);
  const [down, setDown] = useState(false);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setDown(entry.contentRect.width < NARROW));
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  const plan = useMemo(() => drawing(workflow.steps, down), [workflow, down]);
  const said = workflow.steps.map((step) => `${step.step_id} ${step.status}`).join(", ");
  return html`<div class="dag" ref=${frame} role="img" aria-label=${`Workflow ${workflow.workflow_id}, ${workflow.status}: ${said}`}>
    <svg viewBox=${`0 0 ${plan.width} ${plan.height}`} width=${plan.width} height=${plan.height} aria-hidden="true">
      <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0.5L7.5 4 0 7.5z" class="arrow" /></marker></defs>
      ${plan.edges.map((edge) => html`<path class="edge" key=${edge.key} d=${edge.path} marker-end="url(#arrow)" />`)}
      ${plan.nodes.map((node) => html`<${Box} key=${node.step.step_id} ...${node} />`)}
    </svg>
  </div>`;
}

function Box({ step, x, y }) {
  const attempts = step.attempt > 1 ? `, attempt ${step.attempt}` : "";
  return html`<g class=${`box ${toneOf(step.status)}`} data-step=${step.step_id} data-state=${step.status} transform=${`translate(${x} ${y})`}>
    <title>${`${step.step_id}: ${step.agent_pool}.${step.action}, ${step.status}${step.error ? `: ${step.error}` : ""}`}</title>
    <rect width=${BOX.width} height=${BOX.height} rx="7" />
    <text class="name" x="12" y="21">${cut(step.step_id, 23)}</text>
    <text class="pool" x="12" y="35">${cut(step.agent_pool.replace(/_agent_pool$/, ""), 25)}</text>
    <g class="state" transform="translate(10 39)"><path d=${PATHS[step.status] ?? PATHS.waiting} transform="scale(.86)" /></g>
    <text class="said" x="28" y="50">${words(step.status)}${attempts}</text>
  </g>`;
}

const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function drawing(steps, down) {
  const [length, breadth] = down ? [BOX.height, BOX.width] : [BOX.width, BOX.height];
  const gap = down ? GAP.down : GAP.right;
  const { nodes, edges, layers, widest } = layered(steps, { step: breadth, edge: GAP.edge, gap: GAP.across });
  const start = (layer) => layer * (length + gap) + 1;
  const point = (along, across) => (down ? [across + 1, along] : [along, across + 1]);
  const at = new Map(nodes.map((node) => [node.step.step_id, node]));
  return {
    nodes: nodes.map(({ step, layer, across }) => {
      const [x, y] = point(start(layer), across - breadth / 2);
      return { step, x, y };
    }),
    edges: edges.map(({ from, to, through }) => {
      const [a, b] = [at.get(from), at.get(to)];
      const stops = through.flatMap(({ layer, across }) => [[start(layer), across], [start(layer) + length, across]]);
      const places = [[start(a.layer) + length, a.across], ...stops, [start(b.layer) - 2, b.across]];
      return { key: `${from}>${to}`, path: curve(places, point) };
    }),
    width: point(layers * (length + gap) - gap, widest)[0] + 2,
    height: point(layers * (length + gap) - gap, widest)[1] + 2,
  };
}

// From layer to layer a curve that leaves and arrives along the flow; through a layer a straight line.
function curve(places, point) {
  let path = `M${point(...places[0])}`;
  for (let i = 1; i < places.length; i++) {
    const [[from, before], [to, across]] = [places[i - 1], places[i]];
    const middle = (from + to) / 2;
    path += i % 2 ? `C${point(middle, before)} ${point(middle, across)} ${point(to, across)}` : `L${point(to, across)}`;
  }
  return path;
}
