"""What an operator does to a running system: stop a run, halt an account, cancel a workflow; and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.data.feed import Feed
from orchestrator.client import Client
from orchestrator.recipes import ORCHESTRATOR
from orchestrator.watch import Watch, watching
from orchestrator.wording import unknown
from schemas import CancelWorkflow, SetKillSwitch, StopStrategy, Workflow
from streams.broker import Broker
from streams.clock import Clock
from streams.errors import UnknownAccount, UnknownWorkflow
from streams.ids import derive_id
from streams.serde import Serde
from streams.topics import KILL_SWITCH

WAIT_S = 5.0
"""How long a control waits for the slice that it takes effect with, in seconds."""
_ENDED_S = 30.0
_LONGEST_ID = 256
_ALIVE = "; is an orchestrator alive?"


@dataclass(frozen=True)
class Operator:
    """Controls over one client; feed is the system's feed where this process has it."""

    broker: Broker
    serde: Serde
    clock: Clock
    partitions: Mapping[str, int]
    client: Client
    feed: Feed | None = None

    async def stop(self, run_id: str, reason: str, wait_s: float = WAIT_S) -> dict[str, Any]:
        """Take a run off the data plane, also one that is still starting, and wait for the end of its open orders.

        Returns run_id, slice (that ended them, ns UTC, or None), canceled (how many) and pending: whether they wait for
        a slice that did not come within wait_s. Raises UnknownWorkflow for what is no run.
        """
        client, active, starting = self.client, run_id in self.client.runs, self._is_starting(run_id)
        self._check_run(run_id)
        async with watching(self.broker, self.serde, self.partitions) as watch:
            now = self.clock.now()
            await client.submit(StopStrategy(workflow_id=run_id, ts_event=now, run_id=run_id, reason=reason))
            await client.until(lambda: self._is_off(run_id), f"run {run_id!r} to stop{_ALIVE}")
            ts = await self._heeded(watch, lambda: watch.slice_without(run_id), wait_s) if active else None
        pending = watch.any_slice and ts is None and (active or (starting and run_id in client.accounts))
        canceled = sum(order.run_id == run_id for order in watch.canceled(ts))
        return {"run_id": run_id, "pending": pending, "slice": ts, "canceled": canceled}

    async def set_kill_switches(
        self, account_ids: Sequence[str], active: bool, reason: str, wait_s: float = WAIT_S
    ) -> list[dict[str, Any]]:
        """Halt accounts or release them, and wait until risk has done so.

        Returns of each account_id, active, reason, slice (ns UTC, or None), canceled (orders that ended with it) and
        pending: whether the switch waits for a slice that did not come within wait_s, or for a run that opens the
        account. Raises UnknownAccount for one that no run ever used.
        """
        client = self.client
        for account_id in account_ids:
            self._check_account(account_id)
        async with watching(self.broker, self.serde, self.partitions) as watch:
            said = {name: await client.submit(self._word(name, active, reason)) for name in account_ids}
            wanted = set(said.values())
            await client.until(lambda: wanted <= client.words.keys(), f"the kill switch to be taken up{_ALIVE}")
            ts = await self._heeded(watch, lambda: watch.slice_with(wanted), wait_s)
        answers = watch.answers()
        return [
            {
                "account_id": name,
                "active": active,
                "reason": reason,
                "pending": command_id not in answers,
                "slice": answers.get(command_id),
                "canceled": sum(order.account_id == name for order in watch.canceled(ts)),
            }
            for name, command_id in said.items()
        ]

    async def cancel(self, workflow_id: str, reason: str) -> Workflow:
        """Cancel a workflow and return it once it has ended; one that has ended stays as it is."""
        if workflow_id not in self.client.workflows and workflow_id not in self.client.submitted:
            raise UnknownWorkflow(f"unknown workflow {workflow_id!r}")
        await self.client.submit(CancelWorkflow(workflow_id=workflow_id, ts_event=self.clock.now(), reason=reason))
        return await self.client.wait(workflow_id, _ENDED_S)

    async def _heeded(self, watch: Watch, found: Callable[[], int | None], wait_s: float) -> int | None:
        """Return the slice that heeds what was said, once every pool has finished it; None where none comes in time."""
        if not watch.any_slice:
            return None
        if self.feed is not None:
            await self.feed.close_empty()
        return await watch.finished(found, wait_s)

    def _word(self, account_id: str, active: bool, reason: str) -> SetKillSwitch:
        name = KILL_SWITCH + account_id
        if len(name) > _LONGEST_ID:
            name = KILL_SWITCH + derive_id(account_id, "account")
        now = self.clock.now()
        return SetKillSwitch(workflow_id=name, ts_event=now, account_id=account_id, active=active, reason=reason)

    def _check_account(self, account_id: str) -> None:
        known = {*self.client.accounts.values(), *(word.account_id for word in self.client.words.values())}
        if account_id not in known:
            raise UnknownAccount(unknown("account", account_id, known))

    def _check_run(self, run_id: str) -> None:
        client, workflow = self.client, self.client.workflows.get(run_id)
        if run_id in client.accounts or run_id in client.submitted:
            return
        if workflow is None:
            raise UnknownWorkflow(unknown("run", run_id, client.runs))
        if all(step.spec.agent_pool != ORCHESTRATOR for step in workflow.steps):
            raise UnknownWorkflow(f"workflow {run_id!r} puts no run on the data plane")

    def _is_starting(self, run_id: str) -> bool:
        workflow = self.client.workflows.get(run_id)
        return run_id in self.client.submitted or (workflow is not None and workflow.status == "running")

    def _is_off(self, run_id: str) -> bool:
        client, workflow = self.client, self.client.workflows.get(run_id)
        if run_id in client.runs or run_id in client.submitted:
            return False
        if workflow is None or workflow.kind == StopStrategy.__name__:
            return True
        return workflow.status in ("cancelled", "failed")
