// Topics, tasks, and what could not be handled.

import { html, useEffect } from "../lib.js";
import { bytes, count, duration, number, percent, time } from "../format.js";
import { deadLetters, health, resources, status, topics } from "../store.js";
import { Badge, Figures, Loaded, Panel, Table } from "../ui.js";
import { feedText } from "./overview.js";

const STALE_S = 30;

export function System() {
  useEffect(() => { resources.deadLetters.load(); resources.topics.load(); }, []);
  const now = status.value;
  return html`<div class="title-row"><h1 tabindex="-1">System</h1>${health.value && html`<${Badge} state=${health.value.status} />`}</div>
    <${Loaded} of=${resources.status}>
      <${Figures} cls="key" items=${now && [
        { label: "CPU of the machine", value: percent(now.metrics?.cpu_usage, 0) },
        { label: "Memory of the machine", value: percent(now.metrics?.memory_usage, 0) },
        { label: "This process", value: bytes(now.metrics?.process_memory_bytes) },
        { label: "Workflows executed", value: count(now.metrics?.total_executed) },
        { label: "Success rate", value: percent(now.metrics?.success_rate, 0) },
        { label: "Feed", value: feedText(now.feed), cls: "text" },
        { label: "Uptime", value: duration(now.uptime_s) },
      ]} />
    </${Loaded}>
    <${Panel} title="Topics"><${Loaded} of=${resources.topics}><${Topics} /></${Loaded}></${Panel}>
    <${Panel} title="Tasks" note="of each pool"><${Loaded} of=${resources.status}><${Tasks} pools=${now?.pools ?? []} /></${Loaded}></${Panel}>
    <${Panel} title="Dead letters" note="what could not be handled, newest first"><${Loaded} of=${resources.deadLetters}><${Letters} /></${Loaded}></${Panel}>`;
}

function Topics() {
  const rows = [...topics.items.value].sort((a, b) => a.name.localeCompare(b.name));
  const worst = (topic) => Object.entries(topic.lag ?? {}).sort((a, b) => b[1] - a[1])[0];
  return html`<${Table} caption="Topics" rows=${rows} keyOf=${(topic) => topic.name} columns=${[
    { title: "Topic", head: true, cell: (topic) => html`<code>${topic.name}</code>` },
    { title: "Partitions", numeric: true, wide: true, cell: (topic) => topic.partitions },
    { title: "Records", numeric: true, cell: (topic) => count(topic.end - topic.begin) },
    { title: "Per second", numeric: true, cell: (topic) => number(Math.round((topic.per_second ?? 0) * 10) / 10) },
    { title: "Largest lag", numeric: true, cell: (topic) => { const most = worst(topic); return most ? html`${count(most[1])}${most[1] > 0 && html` <span class="note wide-inline">${most[0]}</span>`}` : "–"; } },
    { title: "Dead letters", numeric: true, cell: (topic) => html`<span class=${topic.dead_letters ? "loss" : ""}>${count(topic.dead_letters)}</span>` },
    { title: "Kept", wide: true, cell: (topic) => (topic.compacted ? "latest per key" : "by time") },
  ]} />`;
}

function Tasks({ pools }) {
  const total = (byTopic) => Object.values(byTopic).reduce((sum, each) => sum + each, 0);
  const age = (task) => Math.max(0, (Date.now() - Date.parse(task.updated)) / 1000);
  return html`<${Table} caption="Tasks" rows=${[...pools].sort((a, b) => String(a.task).localeCompare(String(b.task)))} keyOf=${(task) => task.task} empty="No task has reported." columns=${[
    { title: "Task", head: true, cell: (task) => html`<code>${task.task}</code>` },
    { title: "State", cell: (task) => html`<${Badge} state=${age(task) > STALE_S ? "degraded" : "healthy"} text=${age(task) > STALE_S ? "Silent" : "Alive"} />` },
    { title: "Slice (UTC)", cls: "when", wide: true, cell: (task) => time(task.slice) },
    { title: "Rows handled", numeric: true, cell: (task) => count(total(task.handled)) },
    { title: "Dead letters", numeric: true, wide: true, cell: (task) => count(total(task.dead_letters)) },
    { title: "Heartbeat", numeric: true, cell: (task) => `${duration(Math.round(age(task)))} ago` },
  ]} />`;
}

function Letters() {
  return html`<${Table} caption="Dead letters" rows=${deadLetters.items.value} keyOf=${(each) => `${each.topic}/${each.partition}/${each.offset}`} empty="None: everything was handled." columns=${[
    { title: "Time (UTC)", cls: "when", cell: (each) => time(each.time) },
    { title: "From", head: true, cell: (each) => html`<code>${each.source_topic}/${each.source_partition}@${each.source_offset}</code>` },
    { title: "Reason", cls: "grow", cell: (each) => each.reason },
    { title: "Bytes", numeric: true, wide: true, cell: (each) => count(each.size) },
    { title: "Begins with", wide: true, cell: (each) => html`<code class="preview">${each.preview}</code>` },
  ]} />`;
}
