"""Backtests as jobs: what a sweep asks of workers, and what they answer."""

from __future__ import annotations

from pydantic import Field

from schemas.message import Id, JsonObject, Message, Nanoseconds


class Job(Message):
    """What names one backtest of a sweep."""

    job_id: Id
    """sweep_id.number."""
    sweep_id: Id
    """The sweep."""
    number: int = Field(ge=0, lt=2**63)
    """Its place in the sweep, from 0."""
    ts_event: Nanoseconds
    """When it was asked for or done, ns UTC."""


class RunBacktest(Job):
    """Run one backtest."""

    document: JsonObject
    """The strategy file or template as it was written."""
    changes: JsonObject = Field(default_factory=dict)
    """Parameters that replace the document's."""
    source: Id
    """Where the data is: sample, a path that every worker can read, synthetic:SEED."""
    start: str = ""
    """First session or time, ISO; empty: the first there is."""
    end: str = ""
    """Last session (included), ISO; empty: the last there is."""
    fill: Id
    """The fill rule."""
    initial_cash: float = Field(default=0.0, ge=0)
    """Cash at the start; 0: what the strategy or the settings say."""
    settings: JsonObject = Field(default_factory=dict)
    """The sections of the settings that decide the outcome."""


class BacktestCompleted(Job):
    """A backtest's figures."""

    run_id: Id
    """The run; derives from all that decides the outcome, the data excepted."""
    source: Id
    """Where the data came from, for people."""
    data: Id
    """real, synthetic, or both."""
    data_sha256: Id
    """Hash of the rows."""
    metrics: JsonObject
    """Performance figures and counts; null where undefined."""
    days: tuple[Nanoseconds, ...]
    """The last slice of each UTC day, ns."""
    equity: tuple[float, ...]
    """Equity after each of them, in the account's currency."""


class BacktestFailed(Job):
    """A backtest could not be run."""

    error: str
    """Why, for people."""
    error_type: Id
    """Class of the error."""
