"""Strategies: what a user asks for, and the runs that execute them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.market import Instrument
from schemas.message import Currency, Id, JsonObject, Message, Nanoseconds

RebalanceFrequency = Literal["bar", "daily", "weekly", "monthly", "quarterly"]
"""How often targets are set: at every bar, or at the first bar of each period."""


class StrategySpec(Message):
    """The definition of a strategy as its author wrote it."""

    strategy_id: Id
    """Names the definition."""
    name: Id
    """Title for people."""
    description: str = ""
    """What it does."""
    symbols: tuple[Id, ...] = Field(min_length=1, fail_fast=True)
    """Bare symbols or SYMBOL.VENUE."""
    lookback_period: int = Field(default=20, ge=1, lt=2**63)
    """History that a decision looks at, in bars."""
    rebalance_frequency: RebalanceFrequency = "daily"
    """How often targets are set."""
    parameters: JsonObject = Field(default_factory=dict)
    """Parameters of the model and of portfolio construction."""


class RiskLimits(Message):
    """Pre-trade limits of an account."""

    max_position_weight: float = Field(default=1.0, gt=0)
    """Largest |position value| / equity of one instrument."""
    max_order_notional: float = Field(default=1e9, gt=0)
    """Largest order value, in the account's currency."""
    max_gross_exposure: float = Field(default=1.0, gt=0)
    """Largest sum of |position value| / equity."""
    max_daily_loss: float = Field(default=0.2, gt=0, le=1)
    """Loss since the session's start, as a share of equity, that trips the kill switch."""
    allow_short: bool = False
    """Whether a position may go below zero."""


class StrategyStarted(Message):
    """A run begins: one execution of a strategy on the data plane."""

    run_id: Id
    """Names this execution."""
    strategy_id: Id
    """The definition that it runs."""
    account_id: Id
    """Owns the money; one account per run unless the strategy names a shared one."""
    workflow_id: Id
    """The workflow that started it."""
    alpha_pool: Id
    """The pool that decides for it."""
    strategy_type: Id
    """The model within that pool."""
    lookback_period: int = Field(ge=1, lt=2**63)
    """History that a decision looks at, in bars."""
    rebalance_frequency: RebalanceFrequency
    """How often targets are set."""
    parameters: JsonObject
    """Parameters of the model and of portfolio construction."""
    instruments: tuple[Instrument, ...] = Field(min_length=1, fail_fast=True)
    """What it trades, with reference data."""
    currency: Currency
    """The account's currency; every instrument must share it."""
    initial_cash: float = Field(gt=0)
    """Deposited into the account when the run begins, in the currency."""
    limits: RiskLimits
    """Pre-trade limits."""
    once: bool = False
    """True: decide at the first slice only, then hold."""
    ts_event: Nanoseconds
    """When it was asked for, ns UTC."""


class StrategyStopped(Message):
    """A run ends: no further decisions; positions stay as they are."""

    run_id: Id
    """The run."""
    reason: str
    """Why it stopped."""
    ts_event: Nanoseconds
    """When it was asked for, ns UTC."""
