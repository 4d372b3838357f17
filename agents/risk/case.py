"""A proposal next to the account it would trade on, and the figures that the checks compare."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from agents.orders import signed
from agents.risk.account import RiskAccount, equity, projected, unit_value
from schemas.orders import OrderProposed
from schemas.risk import DenialCode
from schemas.strategies import RiskLimits

TOLERANCE = 1e-9
"""A limit may be passed by this share of itself, so that exactly at the limit passes."""


@dataclass(frozen=True)
class Denial:
    """A check that said no."""

    code: DenialCode
    reason: str
    limit: float
    value: float


@dataclass(frozen=True)
class Case:
    """A proposal next to the account it would trade on."""

    account: RiskAccount
    proposal: OrderProposed
    commission_rate: float
    cash_buffer: float
    count_sales: bool

    @cached_property
    def projected(self) -> dict[str, float]:
        """Return the account's units by instrument once every working order is filled."""
        return projected(self.account)

    @property
    def limits(self) -> RiskLimits:
        """Return the limits of the proposal's run."""
        return self.account.runs[self.proposal.run_id].limits

    @property
    def change(self) -> float:
        """Return the signed units that the proposal would add."""
        return signed(self.proposal.side, self.proposal.quantity)

    @property
    def notional(self) -> float:
        """Return what the proposal is worth at mark."""
        return self.proposal.quantity * unit_value(self.account, self.proposal.instrument_id)

    @property
    def reduces(self) -> bool:
        """Return whether the proposal only makes the position smaller, once all working orders are filled."""
        before = self.projected.get(self.proposal.instrument_id, 0.0)
        after = before + self.change
        return abs(after) < abs(before) and after * before >= 0

    @property
    def price(self) -> float:
        """Return the price that a purchase is expected to cost: its limit, else the mark or a stop above it."""
        mark = self.account.marks[self.proposal.instrument_id]
        return self.proposal.limit_price or max(mark, self.proposal.stop_price or mark)


def cash_needed(case: Case) -> float:
    """Return quantity x price x multiplier x (1 + cash_buffer) + commission for a purchase, 0 for a sale."""
    if case.proposal.side == "SELL":
        return 0.0
    notional = case.proposal.quantity * case.price * case.account.multipliers[case.proposal.instrument_id]
    return notional * (1 + case.cash_buffer) + notional * case.commission_rate


def margin_needed(case: Case) -> float:
    """Return the exposure that a purchase adds x (1 + cash_buffer) + commission on all of it; covering adds none."""
    before = case.projected.get(case.proposal.instrument_id, 0.0)
    opened = max(0.0, abs(before + case.change) - abs(before))
    unit = case.price * case.account.multipliers[case.proposal.instrument_id]
    return opened * unit * (1 + case.cash_buffer) + case.proposal.quantity * unit * case.commission_rate


def session_loss(account: RiskAccount) -> float:
    """Return the loss since the session's start as a share of the equity then; 0 where that was not positive."""
    start = account.session_start_equity
    return max(0.0, (start - equity(account)) / start) if start > 0 else 0.0


def exceeds(value: float, limit: float) -> bool:
    """Return whether a value lies beyond a limit by more than rounding."""
    return value > limit + TOLERANCE * abs(limit)
