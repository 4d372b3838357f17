"""The control plane: commands, steps, results and the state of a workflow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.message import Id, JsonObject, Message, Nanoseconds
from schemas.strategies import StrategySpec

WorkflowStatus = Literal["running", "completed", "failed", "cancelled"]
StepStatus = Literal["waiting", "running", "backoff", "completed", "failed", "cancelled"]


class Command(Message):
    """What every command carries."""

    workflow_id: Id
    """Names the workflow that the command creates or addresses; the client's idempotency key."""
    ts_event: Nanoseconds
    """When it was given, ns UTC."""


class ExecuteStrategy(Command):
    """Evaluate a strategy once, as of the last bar."""

    strategy: StrategySpec
    """The strategy."""
    start: str = ""
    """First session, ISO date; empty: the last max(252, lookback + 1) bars."""
    end: str = ""
    """Last session, ISO date."""
    execute: bool = False
    """True: place paper orders at the next slice."""


class StartStrategy(Command):
    """Put a strategy on the data plane until it is stopped."""

    strategy: StrategySpec
    """The strategy."""
    start: str = ""
    """First session of the history that is checked beforehand, ISO date."""
    end: str = ""
    """Last session of that history, ISO date."""
    initial_cash: float = Field(gt=0)
    """Deposited into the run's account."""
    account_id: str = ""
    """A shared account; empty: one of the run's own."""
    check_history: bool = True
    """False: start without the steps that look at daily history (an instrument known only from a live feed)."""


class StopStrategy(Command):
    """Take a run off the data plane."""

    run_id: Id
    """The run."""
    reason: str = "stopped by user"
    """Why."""


class SetKillSwitch(Command):
    """Halt an account, or release it: an operator's word, which holds until the next one."""

    account_id: Id
    """The account."""
    active: bool
    """True: cancel its open orders and deny every proposal; False: let it trade again."""
    reason: str
    """Why."""


class StepSpec(Message):
    """One step of a workflow as its author wrote it."""

    step_id: Id
    """Names the step within its workflow."""
    agent_pool: Id
    """The pool that does it, for example data_agent_pool."""
    action: Id
    """What the pool is to do."""
    parameters: JsonObject = Field(default_factory=dict)
    """Parameters of the action."""
    depends_on: tuple[Id, ...] = Field(default=(), fail_fast=True)
    """Steps whose results it needs."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Time for one attempt, in seconds."""
    max_attempts: int = Field(default=3, ge=1, lt=2**63)
    """Attempts before the step fails."""


class ExecuteWorkflow(Command):
    """Run a workflow of steps."""

    steps: tuple[StepSpec, ...] = Field(min_length=1, fail_fast=True)
    """The steps, in any order that depends_on allows."""


class CancelWorkflow(Command):
    """Stop a workflow; running steps are no longer waited for."""

    reason: str = "cancelled by user"
    """Why."""


class RunStep(Message):
    """A step addressed to a pool."""

    workflow_id: Id
    """Its workflow."""
    step_id: Id
    """The step."""
    attempt: int = Field(ge=1, lt=2**63)
    """1 for the first attempt."""
    agent_pool: Id
    """The pool that is to answer."""
    action: Id
    """What it is to do."""
    parameters: JsonObject
    """Parameters of the action."""
    inputs: JsonObject
    """Results of the steps that it depends on, by step_id."""
    deadline: Nanoseconds
    """When the orchestrator stops waiting, ns UTC."""
    ts_event: Nanoseconds
    """When it was sent, ns UTC."""


class StepCompleted(Message):
    """A pool's answer to a step."""

    workflow_id: Id
    """The workflow."""
    step_id: Id
    """The step."""
    attempt: int = Field(ge=1, lt=2**63)
    """The attempt that it answers."""
    result: JsonObject
    """What the action returned; rows only by reference."""
    ts_event: Nanoseconds
    """When it was done, ns UTC."""


class StepFailed(Message):
    """A pool could not do a step."""

    workflow_id: Id
    """The workflow."""
    step_id: Id
    """The step."""
    attempt: int = Field(ge=1, lt=2**63)
    """The attempt that it answers."""
    error: str
    """What went wrong, for people."""
    error_type: Id
    """Class of the error."""
    retryable: bool
    """Whether another attempt may succeed."""
    ts_event: Nanoseconds
    """When it failed, ns UTC."""


class StepState(Message):
    """Where a step of a workflow stands."""

    spec: StepSpec
    """The step."""
    status: StepStatus
    """waiting for its dependencies, running, in backoff before a retry, or ended."""
    attempt: int = Field(ge=0, lt=2**63)
    """The current attempt; 0 before the first."""
    due: int = Field(ge=0, lt=2**63)
    """When the running attempt times out or the backoff ends, ns UTC; 0 for none."""
    result: JsonObject = Field(default_factory=dict)
    """What the action returned."""
    error: str = ""
    """Why it failed."""


class Workflow(Message):
    """The latest state of a workflow."""

    workflow_id: Id
    """The workflow."""
    kind: Id
    """The command that created it."""
    status: WorkflowStatus
    """running, or how it ended."""
    steps: tuple[StepState, ...] = Field(fail_fast=True)
    """Its steps, in topological order."""
    command_id: Id
    """Message id of the command."""
    error: str = ""
    """Why it failed or was cancelled."""
    started: Nanoseconds
    """When the command was handled, ns UTC."""
    ts_event: Nanoseconds
    """When the state last changed, ns UTC."""
