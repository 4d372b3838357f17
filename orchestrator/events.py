"""What moves a workflow on, and in which surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.planner import Planned, PoolInfo
from schemas import (
    CancelWorkflow,
    Message,
    RiskLimits,
    SetKillSwitch,
    StepCompleted,
    StepFailed,
    StopStrategy,
    Workflow,
)


@dataclass(frozen=True)
class TimerDue:
    """A timer of a workflow fired."""

    workflow_id: str
    """The workflow."""
    due: int
    """The time it was set for, ns UTC."""


Event = Planned | CancelWorkflow | StopStrategy | SetKillSwitch | StepCompleted | StepFailed | TimerDue
"""What `advance` takes."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What `advance` may know besides the state and the event."""

    message_id: str
    """Id of the event; a timer's is streams.ids.timer_id(workflow_id, due)."""
    now: int
    """The clock, ns UTC."""
    pools: Mapping[str, PoolInfo] = field(default_factory=dict)
    """Pools that steps may be addressed to, by name."""
    max_concurrent_tasks: int = 100
    """Steps of one workflow that may be in flight at once."""
    limits: RiskLimits = field(default_factory=RiskLimits)
    """Pre-trade limits of a run, where the strategy sets none."""
    initial_cash: float = 1_000_000.0
    """Cash of a run, where neither command nor strategy sets it, in the account's currency."""
    alpha_pools: frozenset[str] | None = None
    """Pools that may decide for a run; None: any."""


@dataclass(frozen=True)
class Advanced:
    """What an event led to."""

    workflow: Workflow | None
    """The state to keep."""
    messages: tuple[tuple[str, Message], ...] = ()
    """What to send, each with its message id, in order; empty where the event was ignored."""
