"""Topics and key families: the only place where topic names exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import schemas as s
from schemas import Message
from streams.errors import UnknownTopic

Family = Literal["instrument", "account", "workflow", "single"]
"""Topics of one family have one key and equal partition counts; single: one partition, read whole."""


@dataclass(frozen=True)
class Topic:
    """A topic: what it carries, by which field it is keyed, how it is kept."""

    name: str
    family: Family
    key: str
    types: tuple[type[Message], ...]
    compacted: bool = False
    writer: str | None = None
    """The one role whose handlers may publish on it; None: any."""


TICKS = Topic("ticks", "instrument", "instrument_id", (s.TickBlock, s.SliceClosed))
BARS = Topic("bars", "instrument", "instrument_id", (s.Bar, s.BarBlock, s.CorporateAction, s.SliceClosed))
ORDERS = Topic("orders", "instrument", "instrument_id", (s.SubmitOrder, s.CancelOrder, s.SliceClosed), writer="risk")
SIGNALS = Topic("signals", "account", "account_id", (s.Signal, s.SliceClosed))
TARGETS = Topic("targets", "account", "account_id", (s.OrderProposed, s.SliceClosed))
RISK = Topic("risk", "account", "account_id", (s.OrderDenied, s.RiskAssessed, s.KillSwitchChanged))
FILLS = Topic(
    "fills",
    "account",
    "account_id",
    (s.OrderAccepted, s.OrderRejected, s.OrderFilled, s.OrderCanceled, s.OrderExpired, s.SliceClosed),
    writer="execution",
)
POSITIONS = Topic("positions", "account", "account_id", (s.PositionsUpdated,), compacted=True)
COMMANDS = Topic(
    "commands",
    "workflow",
    "workflow_id",
    (s.ExecuteStrategy, s.StartStrategy, s.StopStrategy, s.ExecuteWorkflow, s.CancelWorkflow),
)
STEPS = Topic("steps", "workflow", "workflow_id", (s.RunStep,))
RESULTS = Topic("results", "workflow", "workflow_id", (s.StepCompleted, s.StepFailed))
WORKFLOWS = Topic("workflows", "workflow", "workflow_id", (s.Workflow,), compacted=True)
STRATEGIES = Topic("strategies", "single", "run_id", (s.StrategyStarted, s.StrategyStopped), compacted=True)
INSTRUMENTS = Topic("instruments", "single", "instrument_id", (s.Instrument,), compacted=True)

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        TICKS,
        BARS,
        ORDERS,
        SIGNALS,
        TARGETS,
        RISK,
        FILLS,
        POSITIONS,
        COMMANDS,
        STEPS,
        RESULTS,
        WORKFLOWS,
        STRATEGIES,
        INSTRUMENTS,
    )
}
DATA_PLANE_RANK = ("strategies", "ticks", "bars", "orders", "fills", "signals", "targets", "risk")
"""Order of rows of one instant: data before reports before decisions."""
DEAD_LETTER_SUFFIX = ".dlq"

_HOMES: dict[type[Message], Topic] = {
    kind: topic for topic in TOPICS.values() for kind in topic.types if kind is not s.SliceClosed
}


def topic_of(kind: type[Message]) -> Topic:
    """Return the topic that a message type is published on."""
    try:
        return _HOMES[kind]
    except KeyError:
        raise UnknownTopic(f"{kind.__name__} has no topic of its own; name one") from None


def topic(name: str) -> Topic:
    """Return a topic by name; a run's copy `bt.<run_id>.<topic>` has the properties of its base."""
    base = name.rsplit(".", 1)[-1] if name.startswith("bt.") else name
    try:
        return TOPICS[base]
    except KeyError:
        raise UnknownTopic(f"Unknown topic {name!r}, expected one of {', '.join(TOPICS)}") from None


def changelog(pool: str) -> str:
    """Return the name of a pool's changelog topic."""
    return f"{pool}.changelog"


def dead_letters(name: str) -> str:
    """Return the name of a topic's dead-letter topic."""
    return name + DEAD_LETTER_SUFFIX
