"""Risk: denials with typed codes, assessments, the kill switch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.message import Id, InstrumentId, Message, Nanoseconds
from schemas.orders import OrderTerms

DenialCode = Literal[
    "MAX_POSITION_WEIGHT",
    "MAX_ORDER_NOTIONAL",
    "MAX_GROSS_EXPOSURE",
    "INSUFFICIENT_CASH",
    "SHORT_NOT_ALLOWED",
    "DAILY_LOSS",
    "KILL_SWITCH",
    "NO_MARK",
    "UNKNOWN_RUN",
]


class OrderDenied(OrderTerms):
    """Our own risk pool said no; the proposal never became an order."""

    proposal_id: Id
    """The proposal."""
    code: DenialCode
    """Which check said no; docs/risk.md has the list."""
    reason: str
    """The check with its figures, for people."""
    limit: float
    """The limit that was crossed, in the check's unit."""
    value: float
    """What the proposal would have led to, in the same unit."""
    ts_event: Nanoseconds
    """The slice it was decided on, ns UTC."""


class RiskAssessed(Message):
    """Historical risk of a portfolio, as assess_risk computed it."""

    workflow_id: Id
    """The workflow that asked."""
    model: Literal["var"]
    """The method: historical value at risk."""
    instruments: tuple[InstrumentId, ...] = Field(min_length=1, fail_fast=True)
    """What the portfolio holds."""
    observations: int = Field(ge=2, lt=2**63)
    """Returns that the figures rest on."""
    var_95: float = Field(ge=0)
    """One-period loss not exceeded in 95 % of the observations, as a share of value."""
    max_drawdown: float = Field(ge=0, le=1)
    """Largest fall from a peak, as a share of the peak."""
    volatility: float = Field(ge=0)
    """Annualised standard deviation of returns (ddof 1)."""
    sharpe_ratio: float | None = None
    """Annualised mean over standard deviation of returns, risk-free rate 0; null where the returns do not vary."""
    ts_event: Nanoseconds
    """Time of the last observation, ns UTC."""


class KillSwitchSet(Message):
    """An operator's word on the kill switch of an account; it holds until the next one."""

    account_id: Id
    """The account."""
    active: bool
    """True: halt the account; False: release it, also where a loss halted it."""
    reason: str
    """Why."""
    command_id: Id
    """Message id of the command that it came by."""
    ts_event: Nanoseconds
    """When it was given, ns UTC."""


class KillSwitchChanged(Message):
    """Risk tripped or released the kill switch of an account, or took an operator's word that it stays as it is."""

    account_id: Id
    """The account."""
    active: bool
    """True: open orders are canceled and every proposal is denied."""
    reason: str
    """Why."""
    ts_event: Nanoseconds
    """When, ns UTC."""
