"""What trading costs: commission, half spread and square-root market impact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from schemas.columns import Float64
from schemas.orders import OrderTerms, Side
from streams.errors import InvalidData, MissingData

WINDOW = 20
"""Closes and volumes that volatility and mean volume are taken over."""


@dataclass(frozen=True)
class Charge:
    """What a fill costs; amounts in the currency."""

    price: float
    """Price per unit, half spread and impact included."""
    commission: float
    spread_cost: float
    """Already inside price."""
    impact_cost: float
    """Already inside price."""


class CostModel(BaseModel):
    """The rates behind every charge."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
    commission_rate: float = Field(default=0.001, ge=0, lt=1)
    """Commission as a fraction of the value traded."""
    half_spread_bps: float = Field(default=1.0, ge=0, lt=10_000)
    """Half the bid-ask spread, in 1/10,000 of the price."""
    impact_coefficient: float = Field(default=0.1, ge=0)
    """Impact, in volatilities, of trading the whole volume; 0 switches impact off."""
    max_participation: float = Field(default=0.1, gt=0, le=1)
    """Largest share of a bar's volume that all orders together may trade."""

    def charge(
        self,
        side: Side,
        quantity: float,
        price: float,
        *,
        volume: float | None,
        volatility: float,
        multiplier: float = 1.0,
    ) -> Charge:
        """Return the cost of trading quantity > 0 at a price.

        The price worsens by half the spread and by impact = impact_coefficient x volatility x sqrt(quantity / volume),
        the square-root law (Grinold and Kahn 2000, ch. 16; exponent estimated as 0.6 by Almgren et al. 2005).
        volatility (standard deviation of returns) and volume (units) are of one interval, whichever: over T intervals
        both terms scale and sqrt(T) cancels. Raises MissingData where impact needs a volume that is unknown,
        InvalidData where a sale would fetch no positive price.
        """
        spread, impact = self.half_spread_bps / 1e4, self._impact(quantity, volume, volatility)
        paid = price * (1 + spread + impact) if side == "BUY" else price * (1 - spread - impact)
        if paid <= 0:
            raise InvalidData(f"selling {quantity} at {price} with impact {impact:.4f} would fetch {paid}")
        value = quantity * price * multiplier
        return Charge(paid, quantity * paid * multiplier * self.commission_rate, value * spread, value * impact)

    def _impact(self, quantity: float, volume: float | None, volatility: float) -> float:
        if self.impact_coefficient == 0 or volatility == 0:
            return 0.0
        if not volume:
            raise MissingData(f"impact of {quantity} units needs a positive volume, got {volume}")
        return self.impact_coefficient * volatility * sqrt(quantity / volume)


def interval_volatility(closes: Sequence[float] | Float64) -> float:
    """Return the standard deviation (ddof 1) of log returns per interval; raise MissingData for fewer than 3 closes."""
    if len(closes) < 3:
        raise MissingData(f"volatility needs 3 closes, got {len(closes)}")
    return float(np.diff(np.log(np.asarray(closes, dtype=np.float64))).std(ddof=1))


def range_volatility(high: float, low: float) -> float:
    """Estimate one interval's volatility from its range: ln(high / low) / sqrt(4 ln 2) (Parkinson 1980)."""
    return log(high / low) / sqrt(4 * log(2))


def estimate(
    orders: Sequence[OrderTerms],
    closes: Mapping[str, Float64],
    volumes: Mapping[str, Float64],
    model: CostModel,
    *,
    multipliers: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return what orders are expected to cost, in the currency: commission, market_impact, slippage, total_cost.

    Priced at each last close, with the volatility and mean volume of the last 20 rows (oldest first, shape (n,));
    slippage is the half spread; a multiplier that is not named is 1. Raises MissingData on too little history.
    """
    charges = [_estimate(order, closes, volumes, model, multipliers or {}) for order in orders]
    commission = sum((charge.commission for charge in charges), 0.0)
    impact = sum((charge.impact_cost for charge in charges), 0.0)
    slippage = sum((charge.spread_cost for charge in charges), 0.0)
    total = commission + impact + slippage
    return {"commission": commission, "market_impact": impact, "slippage": slippage, "total_cost": total}


def _estimate(
    order: OrderTerms,
    closes: Mapping[str, Float64],
    volumes: Mapping[str, Float64],
    model: CostModel,
    multipliers: Mapping[str, float],
) -> Charge:
    name = order.instrument_id
    if not len(closes.get(name, ())) or not len(volumes.get(name, ())):
        raise MissingData(f"{name} has no closes or volumes to estimate a cost from")
    return model.charge(
        order.side,
        order.quantity,
        float(closes[name][-1]),
        volume=float(volumes[name][-WINDOW:].mean()),
        volatility=interval_volatility(closes[name][-WINDOW:]) if model.impact_coefficient else 0.0,
        multiplier=multipliers.get(name, 1.0),
    )
