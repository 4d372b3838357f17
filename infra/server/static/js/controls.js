// Buttons that change something, each behind a dialog that names what it changes.

import { request } from "./api.js";
import { html, signal, useState } from "./lib.js";
import { notify } from "./notices.js";
import { Dialog, Failure, Icon } from "./ui.js";
import { ownerOf, resources, risk, strategies, workflows } from "./store.js";

const asked = signal(null); // {title, body, action, danger, reason, run(reason)}

/** Ask before doing; run(reason) throws a Problem where it fails. */
export const ask = (question) => { asked.value = question; };

/** The one dialog of the page. */
export function Asked() {
  const question = asked.value;
  return question && html`<${Question} key=${question.title} question=${question} />`;
}

function Question({ question }) {
  const [reason, setReason] = useState("");
  const [missing, setMissing] = useState(false);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const close = () => { asked.value = null; };

  async function confirmed(event) {
    event.preventDefault();
    if (question.reason && !reason.trim()) return setMissing(true);
    setBusy(true);
    try {
      await question.run(reason.trim());
      close();
    } catch (failure) {
      setProblem(failure);
      setBusy(false);
    }
  }

  return html`<${Dialog} title=${question.title} onClose=${close}>
    <form onSubmit=${confirmed} noValidate>
      ${question.body}
      ${question.reason && html`<div class="field full">
        <label for="reason">Reason</label>
        <input id="reason" name="reason" autocomplete="off" value=${reason} onInput=${(event) => { setReason(event.currentTarget.value); setMissing(false); }}
          aria-invalid=${missing ? "true" : undefined} aria-describedby=${missing ? "reason-error" : undefined} aria-required="true" autofocus />
        ${missing && html`<p class="field-error" id="reason-error" role="alert">Needed: it is kept on the log.</p>`}
      </div>`}
      <${Failure} problem=${problem} />
      <div class="dialog-actions">
        <button type="button" onClick=${close}>Back</button>
        <button type="submit" class=${question.danger ? "danger" : "primary"} disabled=${busy}>${busy ? "Working" : question.action}</button>
      </div>
    </form>
  </${Dialog}>`;
}

/** Trip or release the kill switch of one account, or of all with account null. */
export function askKillSwitch(account, active) {
  const whose = account ? `account ${account}` : "all accounts";
  const named = account ? [account] : risk.items.value.map((each) => each.account_id);
  const what = active
    ? "Open orders are cancelled and every new order is denied until the switch is released. Positions stay as they are."
    : "New orders are allowed again, within the limits.";
  ask({
    title: `${active ? "Trip" : "Release"} the kill switch of ${whose}?`,
    body: html`<p>${what}</p><ul class="named">${named.map((name) => html`<li key=${name}><code>${name}</code>${ownerOf(name) && ` of ${ownerOf(name).strategy_id}`}</li>`)}</ul>`,
    action: active ? "Trip kill switch" : "Release kill switch",
    danger: active,
    reason: true,
    run: async (reason) => {
      await request("POST", "/kill-switch", { body: { ...(account ? { account_id: account } : { all: true }), active, reason } });
      const name = account ? ownerOf(account)?.strategy_id ?? account : "all accounts";
      notify(`Kill switch of ${name} ${active ? "tripped" : "released"}.`, active ? "bad" : "good");
      await resources.risk.load();
    },
  });
}

export function KillSwitchButton({ account, active }) {
  const text = active ? "Release" : "Trip";
  return html`<button type="button" class=${active ? "" : "danger-outline"} onClick=${() => askKillSwitch(account, !active)}
    aria-label=${`${text} kill switch of ${account ?? "all accounts"}`}><${Icon} name="lock" />${account ? text : `${text} for all accounts`}</button>`;
}

export function askCancelStrategy(strategy) {
  const id = strategy.strategy_id;
  ask({
    title: `Cancel strategy ${id}?`,
    body: html`<p>Its workflow is cancelled, its run stops and its open orders are cancelled. Its positions and its record stay.</p>`,
    action: "Cancel strategy",
    danger: true,
    run: async () => {
      const ended = await request("DELETE", `/strategies/${encodeURIComponent(id)}`);
      strategies.put(ended);
      strategies.publish();
    },
  });
}

export function askCancelWorkflow(workflow) {
  const id = workflow.workflow_id;
  ask({
    title: `Cancel workflow ${id}?`,
    body: html`<p>Steps that run are no longer waited for; steps that wait never start.</p>`,
    action: "Cancel workflow",
    danger: true,
    run: async () => {
      const ended = await request("DELETE", `/workflows/${encodeURIComponent(id)}`);
      if (ended?.workflow_id) workflows.put(ended);
      workflows.publish();
      notify(`Workflow ${id} is cancelled.`);
    },
  });
}
