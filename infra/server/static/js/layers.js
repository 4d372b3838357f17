// Where a DAG's steps are drawn: each after all that it depends on, and no edge through another step.

/** Return {nodes: [{step, layer, across}], edges: [{from, to, through: [{layer, across}]}], layers, widest}.
 *
 * layer counts from 0; across is the middle in the unit of `size`, of which a step takes `size.step` and an edge that
 * passes a layer `size.edge`, with `size.gap` between; widest is the room that the largest layer needs.
 */
export function layered(steps, size) {
  const byId = new Map(steps.map((step) => [step.step_id, { key: step.step_id, step, room: size.step, needs: [] }]));
  const edges = steps.flatMap((step) => step.depends_on.filter((id) => byId.has(id)).map((id) => ({ from: id, to: step.step_id, through: [] })));
  for (const edge of edges) byId.get(edge.to).needs.push(byId.get(edge.from));
  for (const node of byId.values()) node.layer = depth(node);
  const layers = [];
  for (const node of byId.values()) (layers[node.layer] ??= []).push(node);
  for (const edge of edges) edge.through = passing(edge, byId, layers, size);
  const widths = layers.map((layer) => layer.reduce((sum, node) => sum + node.room + size.gap, -size.gap));
  const widest = Math.max(0, ...widths);
  layers.forEach((layer, index) => settle(layer, (widest - widths[index]) / 2, size));
  const nodes = [...byId.values()].map(({ step, layer, across }) => ({ step, layer, across }));
  return { nodes, edges, layers: layers.length, widest };
}

function depth(node, seen = new Set()) {
  if (node.depth !== undefined || seen.has(node)) return node.depth ?? 0; // the planner refuses cycles
  seen.add(node);
  node.depth = Math.max(-1, ...node.needs.map((each) => depth(each, seen))) + 1;
  return node.depth;
}

// An edge that skips layers gets a narrow place in each of them.
function passing(edge, byId, layers, size) {
  const from = byId.get(edge.from);
  const to = byId.get(edge.to);
  const places = [];
  for (let layer = from.layer + 1; layer < to.layer; layer++) {
    const place = { layer, room: size.edge, needs: [places.at(-1) ?? from] };
    places.push(place);
    layers[layer].push(place);
  }
  if (places.length) to.needs[to.needs.indexOf(from)] = places.at(-1);
  return places;
}

// Layers are settled in order, so that each can be sorted by where what it needs stands.
function settle(layer, start, size) {
  const centre = ({ needs }) => (needs.length ? needs.reduce((sum, each) => sum + each.across, 0) / needs.length : 0);
  layer.sort((a, b) => centre(a) - centre(b));
  let across = start;
  for (const node of layer) {
    node.across = across + node.room / 2;
    across += node.room + size.gap;
  }
}
