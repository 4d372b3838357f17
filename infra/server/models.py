"""What the API takes and gives, beyond the records of the log."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from infra.server.executions import Status

T = TypeVar("T")
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$")]
"""Names something in a path: letters, digits and . _ : @ + -, at most 128."""


def _date(text: str) -> str:
    return dt.date.fromisoformat(text).isoformat() if text else ""


class Body(BaseModel):
    """A request's body: unknown fields are refused, and values of another type are not converted."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Answer(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Page(Answer, Generic[T]):
    """A part of a list, newest first."""

    items: list[T]
    next: str | None = None
    """Give this as `cursor` for what is older; null: there is nothing older."""


class Health(Answer):
    """Whether the system works."""

    status: Literal["healthy", "degraded", "critical"]
    reasons: list[str]
    """Why it is not healthy."""
    version: str
    checked: str
    """When it was looked at."""


class Metrics(Answer):
    """Load of the server's process, and what the system executed."""

    cpu_usage: float
    """Share of all cores in use on the machine, 0..1."""
    memory_usage: float
    """Share of the machine's memory in use, 0..1."""
    process_memory_bytes: int
    active_tasks: int
    """Workflows in flight."""
    total_executed: int
    """Workflows that ended, as far as the log goes back."""
    success_rate: float | None
    """Share of them that completed; null where none ended."""


class WorkflowCounts(Answer):
    """Workflows by status, as far as the log goes back."""

    running: int
    completed: int
    failed: int
    cancelled: int


class PoolTask(Answer):
    """One task of a pool, as it last told."""

    task: str
    pool: str
    partition: int
    slice: str | None
    """Time of the last slice that it finished."""
    handled: dict[str, int]
    """Rows handled, by topic."""
    dead_letters: dict[str, int]
    """Rows set aside, by topic."""
    updated: str


class FeedStatus(Answer):
    """Market data that the server itself publishes."""

    status: Literal["waiting", "running", "completed", "stopped", "failed"]
    source: str
    synthetic: bool
    """True: generated, not observed."""
    instruments: list[str]
    rows: int
    """Rows of the source."""
    published: int
    """Rows published or passed over so far."""
    last: str | None
    """Time of the last slice that was published."""
    reason: str
    """What it waits for, or why it failed."""


class SystemStatus(Answer):
    """The whole system at a glance."""

    version: str
    mode: str
    broker: str
    """Where the topics are."""
    started: str
    uptime_s: float
    health: Health
    metrics: Metrics
    workflows: WorkflowCounts
    strategies: int
    """Strategies that the server knows of."""
    active_strategies: int
    """Runs on the data plane."""
    pools: list[PoolTask]
    feed: FeedStatus | None
    """null: the server publishes no market data."""


class StepView(Answer):
    """One step of a workflow."""

    step_id: str
    agent_pool: str
    action: str
    status: Literal["waiting", "running", "backoff", "completed", "failed", "cancelled"]
    attempt: int
    depends_on: list[str]
    error: str
    result: dict[str, Any] | None
    """null in lists and events, and until it is completed."""


class WorkflowView(Answer):
    """A workflow and its steps."""

    workflow_id: str
    kind: str
    """The command that created it."""
    status: Literal["running", "completed", "failed", "cancelled"]
    steps: list[StepView]
    """In topological order."""
    error: str
    started: str
    updated: str


class StrategyDefinition(Answer):
    """What was submitted."""

    strategy_id: str
    name: str
    description: str
    symbols: list[str]
    lookback_period: int
    rebalance_frequency: str
    parameters: dict[str, Any]
    execute: bool
    initial_cash: float | None
    history_end: str
    check_history: bool


class StrategyStatus(Answer):
    """How a strategy stands."""

    strategy_id: str
    workflow_id: str
    run_id: str | None
    """Its run on the data plane."""
    account_id: str | None
    """The account that the run trades for."""
    action: Literal["evaluate", "run"]
    status: Status
    """evaluate: running, then completed, failed or cancelled; run: running, active, then stopped."""
    definition: StrategyDefinition
    workflow: WorkflowView | None
    """null until an orchestrator has taken it up."""
    result: dict[str, Any] | None
    """Of an evaluation: signals, risk_metrics, targets, transaction_costs, data; null in lists and events."""
    error: str | None
    created: str
    updated: str


class StrategyBody(Body):
    """A strategy to evaluate once, or to run until it is stopped."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "strategy_id": "my_first_strategy",
                    "name": "Simple Momentum Strategy",
                    "symbols": ["AAPL", "GOOGL", "MSFT"],
                    "lookback_period": 20,
                    "rebalance_frequency": "daily",
                    "parameters": {"momentum_threshold": 0.02, "position_size": 0.33},
                    "action": "evaluate",
                }
            ]
        }
    )

    strategy_id: Name
    """Names the strategy."""
    name: str = Field(min_length=1, max_length=256)
    """Title for people."""
    description: str = Field(default="", max_length=4096)
    """What it does."""
    symbols: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(min_length=1, max_length=500)
    """Bare symbols or SYMBOL.VENUE."""
    lookback_period: int = Field(default=20, ge=1, le=1_000_000)
    """History that a decision looks at, in bars."""
    rebalance_frequency: Literal["bar", "daily", "weekly", "monthly", "quarterly"] = "daily"
    """How often targets are set."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Of the model and of portfolio construction; strategy_type selects the model (default momentum)."""
    action: Literal["evaluate", "run"] = "evaluate"
    """evaluate: once, as of the last bar; run: trade until stopped."""
    execute: bool = False
    """With evaluate: place paper orders at the next slice."""
    initial_cash: float | None = Field(default=None, gt=0, le=1e15)
    """Deposited into the run's account; null: sandbox.initial_capital."""
    history_end: Annotated[str, AfterValidator(_date)] = Field(default="", max_length=10)
    """Last session of the history that is looked at, ISO date; empty: the last there is."""
    check_history: bool = True
    """With run: false starts it without looking at history first."""


class WorkflowStep(Body):
    """One step."""

    step_id: str | None = Field(default=None, min_length=1, max_length=256)
    """Names the step; null: its number and action."""
    agent_pool: str = Field(min_length=1, max_length=256)
    """The pool that does it."""
    action: str = Field(min_length=1, max_length=256)
    """What it is to do."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Of the action."""
    depends_on: list[Annotated[str, Field(min_length=1, max_length=256)]] | None = Field(default=None, max_length=500)
    """Steps whose results it needs; null: the one listed before it."""
    timeout_s: float = Field(default=30.0, gt=0, le=86_400)
    """Time for one attempt, in seconds."""
    max_attempts: int = Field(default=3, ge=1, le=100)
    """Attempts before the step fails."""


class WorkflowBody(Body):
    """A workflow to run once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "workflow_id": "multi_agent_example",
                    "steps": [
                        {
                            "agent_pool": "data_agent_pool",
                            "action": "fetch_market_data",
                            "parameters": {"symbols": ["AAPL", "GOOGL"]},
                        },
                        {
                            "agent_pool": "alpha_agent_pool",
                            "action": "generate_signals",
                            "parameters": {"strategy_type": "momentum"},
                        },
                    ],
                }
            ]
        }
    )

    workflow_id: Name | None = None
    """Names this execution; null: a fresh name. A name that was executed before gives what that came to."""
    steps: list[WorkflowStep] = Field(min_length=1, max_length=200)
    """In any order that depends_on allows."""


class EquityPoint(Answer):
    """An account at the end of a slice."""

    time: str
    equity: float
    cash: float


class EquityCurve(Answer):
    """An account over time, thinned evenly; the first and the last point are always there."""

    run_id: str | None
    items: list[EquityPoint]


class Holding(Answer):
    """Units held of one instrument."""

    instrument_id: str
    quantity: float
    average_price: float
    mark: float
    value: float
    """Quantity x mark x multiplier, in the account's currency."""
    weight: float | None
    """Value as a share of equity; null where there is none."""
    unrealised_pnl: float


class AccountView(Answer):
    """An account after its last slice."""

    account_id: str
    run_id: str | None
    currency: str
    cash: float
    equity: float
    deposits: float
    realised_pnl: float
    unrealised_pnl: float
    commission: float
    interest: float
    dividends: float
    fills: int
    positions: list[Holding]
    updated: str


class RiskView(Answer):
    """An account's limits, and how far it uses them."""

    account_id: str
    run_id: str | None
    limits: dict[str, Any] | None
    """null where the run that set them is no longer on the log."""
    kill_switch: bool
    """True: risk denies every proposal."""
    pending: bool
    """True: an operator's word counts from the next slice on, and none has come since."""
    reason: str
    """Why the switch was last changed."""
    changed: str | None
    """When it was: the slice."""
    gross_exposure: float | None
    """Sum of |position value| / equity; null before the first slice."""


class KillSwitchBody(Body):
    """Whose kill switch to trip or release; exactly one of account_id, run_id and all."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"all": True, "active": True, "reason": "prices look wrong"}]}
    )

    account_id: str | None = Field(default=None, min_length=1, max_length=256)
    run_id: str | None = Field(default=None, min_length=1, max_length=256)
    all: Literal[True] | None = None
    """Every account that the server knows."""
    active: bool
    """True: open orders are canceled, and every proposal is denied."""
    reason: str = Field(min_length=1, max_length=1000)
    """Why; it stands on the log."""


class KillSwitchAnswer(Answer):
    """What was changed."""

    changed: list[str]
    """Accounts that were halted or released."""
    pending: list[str]
    """Those of them where it counts from the next slice on, which did not come while this waited."""


class TopicView(Answer):
    """A topic of the log."""

    name: str
    partitions: int
    begin: int
    """Sum of the partitions' first offsets."""
    end: int
    """Sum of the offsets after their last records."""
    per_second: float
    """Offsets used per second, over the last seconds; on Kafka these count transaction markers too."""
    compacted: bool
    lag: dict[str, int]
    """Offsets that each task has not yet committed, by task."""
    dead_letters: int
    carries: str
    """Messages that stand on it."""


class DeadLetterView(Answer):
    """A record that no handler could take."""

    topic: str
    partition: int
    offset: int
    reason: str
    source_topic: str
    source_partition: int
    source_offset: int
    pool: str
    time: str
    size: int
    """Bytes of its value."""
    preview: str
    """The message in one line; where it is none, the first bytes in hexadecimal."""


class PolicyView(Answer):
    """A trained policy, without its weights."""

    policy_id: str
    version: int
    algorithm: str
    training_id: str
    sha256: str
    """Of the weights."""
    bytes: int
    """Length of the weights."""
    metadata: dict[str, Any]
    time: str


class ChainLink(Answer):
    """One message, or one market-data row, of a chain of decisions."""

    role: str
    says: str
    message_id: str
    depth: int
    """Its place in the tree: links that follow with a greater depth led to it."""
    topic: str
    """Empty where it is no longer on the log."""
    partition: int
    offset: int
    time: str | None
    instrument_id: str


class Chain(Answer):
    """A message and all that led to it, depth first."""

    items: list[ChainLink]


class ParameterView(Answer):
    """A parameter of a strategy template."""

    type: Literal["int", "float", "str", "bool", "list"]
    default: Any
    """null: unset, or it must be given."""
    min: float | None
    max: float | None
    exclusive_min: bool
    """Whether min itself is not allowed."""
    choices: list[Any] | None
    description: str


class TemplateView(Answer):
    """A kind of strategy that can be submitted."""

    name: str
    title: str
    description: str
    strategy_type: str
    needs_short: bool
    """Whether it needs limits.allow_short."""
    parameters: dict[str, ParameterView]
    symbols: list[str]
    """What the configured data providers know."""


class Accepted(Answer):
    """It will be done."""

    status: str


class BacktestAccepted(Answer):
    """A backtest waits for its turn."""

    test_id: str
    status: Literal["queued", "running", "completed", "failed"]


class BacktestView(Answer):
    """A backtest: what was asked for and what it came to."""

    test_id: str
    status: Literal["queued", "running", "completed", "failed"]
    mode: str
    config: dict[str, Any]
    result: dict[str, Any] | None
    """null in lists, and until it is completed."""
    error: str | None
    """Why it failed; of one that is completed, why it has no report."""
    created: str
    finished: str | None
    report: str | None
    """Path of its HTML report; null where there is none."""


class MemoryAnswer(Answer):
    """What the shared memory holds."""

    items: list[dict[str, Any]]
    next: str | None = None
