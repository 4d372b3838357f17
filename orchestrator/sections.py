"""The sections of the settings: every key that code reads, with its default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.wording import redacted
from schemas import RiskLimits

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Mode = Literal["development", "production", "sandbox"]
BUILT_IN_POOLS = (
    "data_agent_pool",
    "alpha_agent_pool",
    "portfolio_agent_pool",
    "risk_agent_pool",
    "transaction_cost_agent_pool",
    "execution_agent_pool",
)


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Section(BaseModel):
    """A frozen part of the settings; unknown keys are refused, passwords in URLs do not show in its repr."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redacted(value) if isinstance(value, str) else value


class OrchestratorSection(Section):
    """How the orchestrator works."""

    max_concurrent_tasks: int = Field(default=100, ge=1)
    """Steps of one workflow that may be in flight at once."""


class PartitionsSection(Section):
    """Partitions of the topics of each key family, for topics that are created."""

    account: int = Field(default=1, ge=1)
    """signals, targets, risk, fills, positions."""
    instrument: int = Field(default=1, ge=1)
    """ticks, bars, orders."""
    workflow: int = Field(default=1, ge=1)
    """commands, steps, results, workflows."""


class KafkaSection(Section):
    """Where the topics are."""

    bootstrap: str = ""
    """host:port, comma-separated; empty: the broker in this process's memory."""
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    """Put before every topic, consumer group and transactional id."""
    partitions: PartitionsSection = Field(default_factory=PartitionsSection)
    replication: int = Field(default=1, ge=1)
    """Copies of each partition, for topics that are created."""
    transaction_timeout_ms: int = Field(default=10_000, ge=1_000)
    """After this time the broker aborts a transaction whose task went away, in ms."""


class RedisSection(Section):
    """Where the shared memory is."""

    url: str = ""
    """redis://[user:password@]host:port/db; empty: a store in this process's memory."""


class PoolSection(Section):
    """One agent pool."""

    enabled: bool = True
    """False: no step is addressed to it."""
    url: str = ""
    """Endpoint of a pool that is an MCP server; empty: it is met on the topics."""


class DataSection(Section):
    """Where market data comes from."""

    providers: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(default=("sample",), min_length=1)
    """Tried in this order."""


class SandboxSection(Section):
    """Backtests and paper runs."""

    initial_capital: float = Field(default=1_000_000.0, gt=0)
    """Cash at the start, in the account's currency."""
    commission_rate: float = Field(default=0.001, ge=0, lt=1)
    """Commission, as a share of traded value."""


class RiskSection(Section):
    """Pre-trade risk."""

    limits: RiskLimits = Field(default_factory=RiskLimits)
    """Limits of a run whose strategy sets none."""
    cash_buffer: float = Field(default=0.02, ge=0, lt=1)
    """Share of an order's value that is reserved on top of it until it is done."""


class CostsSection(Section):
    """What execution costs besides commission."""

    half_spread_bps: float = Field(default=1.0, ge=0, lt=10_000)
    """Half the bid-ask spread, in basis points of the price."""
    impact_coefficient: float = Field(default=0.1, ge=0)
    """Market impact, in volatilities, of trading the whole volume; 0 switches it off."""
    max_participation: float = Field(default=0.1, gt=0, le=1)
    """Largest share of a bar's volume that all orders together may trade."""
