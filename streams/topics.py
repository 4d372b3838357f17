"""Topics and key families: the only place where topic names exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import schemas as s
from schemas import Message
from streams.errors import UnknownTopic

Family = Literal["instrument", "account", "workflow", "backtest", "training", "single"]
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
    retention_ms: int = 0
    """How long records are kept, in ms; 0: as long as the broker's default says."""
    spread: bool = False
    """True: a record may stand on any partition, not only on its key's."""


TICKS = Topic("ticks", "instrument", "instrument_id", (s.TickBlock, s.SliceClosed))
BARS = Topic("bars", "instrument", "instrument_id", (s.Bar, s.BarBlock, s.CorporateAction, s.SliceClosed))
HISTORY = Topic("history", "instrument", "instrument_id", (s.BarBlock,), retention_ms=7 * 86_400_000)
"""Rows that workflow steps fetched, by reference; kept as long as Kafka keeps commands by default."""
ORDERS = Topic("orders", "instrument", "instrument_id", (s.SubmitOrder, s.CancelOrder, s.SliceClosed), writer="risk")
SIGNALS = Topic("signals", "account", "account_id", (s.Signal, s.SliceClosed))
TARGETS = Topic("targets", "account", "account_id", (s.OrderProposed, s.SliceClosed))
RISK = Topic("risk", "account", "account_id", (s.OrderDenied, s.RiskAssessed, s.KillSwitchChanged), writer="risk")
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
    (s.ExecuteStrategy, s.StartStrategy, s.StopStrategy, s.SetKillSwitch, s.ExecuteWorkflow, s.CancelWorkflow),
)
STEPS = Topic("steps", "workflow", "workflow_id", (s.RunStep,))
RESULTS = Topic("results", "workflow", "workflow_id", (s.StepCompleted, s.StepFailed))
WORKFLOWS = Topic("workflows", "workflow", "workflow_id", (s.Workflow,), compacted=True)
STRATEGIES = Topic(
    "strategies", "single", "run_id", (s.StrategyStarted, s.StrategyStopped, s.KillSwitchSet), compacted=True
)
BACKTESTS = Topic("backtests", "backtest", "job_id", (s.RunBacktest,), spread=True)
BACKTEST_RESULTS = Topic("backtest_results", "backtest", "job_id", (s.BacktestCompleted, s.BacktestFailed))
INSTRUMENTS = Topic("instruments", "single", "instrument_id", (s.Instrument,), compacted=True)
TRANSITIONS = Topic("rl.transitions", "training", "actor_id", (s.TransitionsRecorded,))
POLICIES = Topic("rl.policies", "single", "policy_id", (s.PolicyPublished,), compacted=True)

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        TICKS,
        BARS,
        HISTORY,
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
        BACKTESTS,
        BACKTEST_RESULTS,
        STRATEGIES,
        INSTRUMENTS,
        TRANSITIONS,
        POLICIES,
    )
}
DATA_PLANE_RANK = ("strategies", "ticks", "bars", "orders", "fills", "signals", "targets", "risk")
"""Order of rows of one instant: data before reports before decisions."""
DEAD_LETTER_SUFFIX = ".dlq"
SCHEMAS = "schemas"
"""Compacted, one partition: the Avro schema of every writer as JSON, by its fingerprint as it stands in records."""
KILL_SWITCH = "kill-switch:"
"""Stands before the account in the key of an operator's word on it, compacted to the last one; no run is so named."""

_HOMES: dict[type[Message], Topic] = {
    kind: topic
    for topic in TOPICS.values()
    if topic is not HISTORY
    for kind in topic.types
    if kind is not s.SliceClosed
}


def topic_of(kind: type[Message]) -> Topic:
    """Return the topic that a message type is published on."""
    try:
        return _HOMES[kind]
    except KeyError:
        raise UnknownTopic(f"{kind.__name__} has no topic of its own; name one") from None


def key_of(name: str, message: Message) -> str:
    """Return the key of a message on a topic: the field that the topic is keyed by."""
    if isinstance(message, s.KillSwitchSet):
        return KILL_SWITCH + message.account_id
    return str(getattr(message, topic(name).key))


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
