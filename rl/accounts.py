"""Accounts: the money of many environments that trade one market, all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agents.data.calendars import Int64
from rl.market import Market
from rl.rules import TradingRules
from schemas.columns import Float64
from streams.errors import ConfigError

Mask = NDArray[np.bool_]
_SLACK, _SPREAD = 1e-9, 1 + 4 * np.finfo(float).eps
"""What agents.quantities.floor_to_lot counts as rounding of a number of lots: absolute, and relative."""
MARK, FILL, NEXT, GROWTH, ROOM, IMPACT = range(6)


@dataclass(frozen=True)
class Prices:
    """What a step needs of a market, by row t of its decision: numbers of one lot, in the currency."""

    table: Float64
    """Shape (K x N, T - 1): close of t, fill price, close of t + 1, close of t + 1 over that of t; where the market has
    volumes also lots that may trade at t + 1, and impact over sqrt(lots)."""
    kinds: int
    """K."""

    @classmethod
    def of(cls, market: Market, rules: TradingRules) -> Self:
        """Raise ConfigError where the rules ask for prices or volumes that the market does not have."""
        panel, lot, cost = market.panel, rules.lot_size, rules.costs
        if rules.fill == "next_open" and panel.opens is None:
            raise ConfigError(f"{panel.source} has closes only: fill must be next_close, got next_open")
        if panel.volumes is None and cost.impact_coefficient:
            raise ConfigError(
                f"{panel.source} has closes only: costs.impact_coefficient must be 0, got {cost.impact_coefficient}"
            )
        closes = panel.closes * lot
        fills = panel.opens * lot if rules.fill == "next_open" and panel.opens is not None else closes
        kinds = [closes[:-1], fills[1:], closes[1:], panel.closes[1:] / panel.closes[:-1]]
        if panel.volumes is not None:
            lots = panel.volumes[1:] / lot
            room = np.floor(cost.max_participation * lots * _SPREAD + _SLACK)
            per_root = np.divide(market.volatility[1:], np.sqrt(lots), out=np.zeros_like(lots), where=lots > 0)
            kinds += [room, cost.impact_coefficient * per_root]
            worst = cost.half_spread_bps / 1e4 + (kinds[IMPACT] * np.sqrt(room)).max()
            if worst >= 1:
                raise ConfigError(f"{panel.source}: half spread and impact may come to {worst:.4f} of a price")
        rows = np.stack([np.ascontiguousarray(kind.T) for kind in kinds])  # (K, N, T - 1)
        return cls(rows.reshape(-1, len(closes) - 1), len(kinds))


class Accounts:
    """Cash and positions of E environments in N instruments, arrays of shape (E,) and (N, E).

    Sizes as agents.portfolio does and fills as agents.execution does, in whole lots: at the close of t a target is
    weight x equity / close, scaled where targets and headroom would exceed max_gross, rounded toward zero; it is filled
    at t + 1 at open or close, worsened by half spread and impact, no more than the participation allows, the rest
    dropped; commission is paid on that price. It is the backtest of a run with rebalance_band 0 whose limits of risk do
    not bind: max_gross_exposure above 1, since sales then fund purchases of the same bar (with shorts twice max_gross,
    since a sale may come before the purchase that makes room for it), max_daily_loss 1, max_order_notional beyond
    equity. Not modelled: orders that work on to the session's end (bars below a day, where participation binds),
    corporate actions, multipliers, interest.
    """

    def __init__(self, prices: Prices, rules: TradingRules, count: int) -> None:
        self.rules = rules
        self.prices = prices
        instruments = len(prices.table) // prices.kinds
        self.cash = np.full(count, rules.initial_cash)
        self.lots = np.zeros((instruments, count))
        self.equity = self.cash.copy()
        self.cost = np.zeros(count)
        """Commission, spread and impact of the last trades."""
        self.turnover = np.zeros(count)
        """Value that the last trades moved over equity before."""
        self.growth = np.ones((instruments, count))
        """Closes over those before."""
        self.marks = np.zeros((instruments, count))
        """Closes of a lot."""
        # Without debts sales bring in equity at most: then targets and headroom always fit.
        fits = rules.gross_cap * (1 + rules.headroom) + rules.headroom <= rules.max_gross
        self._roomy = fits and not rules.allow_short
        self._row = np.empty((prices.kinds, instruments, count))
        self._flat = self._row.reshape(-1, count)
        self._sums = np.empty((4, instruments, count))
        """Summed over the instruments: the trades' signed value, its size, what spread and impact cost, value held."""

    def open(self, where: Mask) -> None:
        """Start anew where the mask (E,) is true."""
        self.cash[where] = self.rules.initial_cash
        self.lots[:, where] = 0
        # What was handed out before stays as it was.
        self.equity = np.where(where, self.rules.initial_cash, self.equity)
        self.cost, self.turnover = np.where(where, 0, self.cost), np.where(where, 0, self.turnover)

    def trade(self, rows: Int64, weights: Float64, hold: Mask | None = None) -> None:
        """Decide at rows (E,), fill at the rows after them and mark there.

        weights: (N, E), within gross_cap, as TradingRules.targets gives them; hold (E,): where not to trade.
        """
        self.prices.table.take(rows, axis=1, out=self._flat, mode="clip")
        row, (flow, size, _, held) = self._row, self._sums
        change = self._wanted(row[MARK], weights)
        change -= self.lots
        if hold is not None:
            change[:, hold] = 0
        units = np.abs(change)
        if self.prices.kinds > ROOM:
            np.minimum(units, row[ROOM], out=units)
            np.copysign(units, change, out=change)
        np.multiply(change, row[FILL], out=flow)
        np.multiply(units, row[FILL], out=size)
        self.lots += change
        np.multiply(self.lots, row[NEXT], out=held)
        self._slip(units)
        bought, traded, self.cost, worth = np.add.reduce(self._sums, axis=1)
        self.cost += self.rules.costs.commission_rate * traded
        self.cash -= bought
        self.cash -= self.cost
        self.turnover = traded / self.equity
        self.equity = self.cash + worth
        self.growth, self.marks = row[GROWTH], row[NEXT]

    def _wanted(self, mark: Float64, weights: Float64) -> Float64:
        """Return the lots to hold, signed."""
        scaled = self.equity * _SPREAD
        if not (self._roomy and np.minimum.reduce(self.cash) >= 0):
            scaled *= self._scale(mark, weights)
        lots: Float64 = weights * scaled
        lots /= mark
        if not self.rules.allow_short:
            lots += _SLACK
            np.floor(lots, out=lots)
            return lots
        lots += np.copysign(_SLACK, lots)
        np.trunc(lots, out=lots)
        return lots

    def _scale(self, mark: Float64, weights: Float64) -> Float64:
        """Return the factor on the targets, so that they and headroom on what is traded stay within max_gross."""
        headroom, equity = self.rules.headroom, self.equity
        size = np.abs(weights * equity)
        sold = np.add.reduce(np.maximum(np.abs(self.lots * mark) - size, 0), axis=0)
        wanted = np.add.reduce(size, axis=0)
        room = np.maximum((self.rules.max_gross * equity - headroom * sold) / (1 + headroom), 0)
        factor: Float64 = np.minimum(room, wanted) / np.where(wanted > 0, wanted, 1)
        return factor

    def _slip(self, units: Float64) -> None:
        """Write what half spread and impact cost, commission on them included.

        A purchase pays price x (1 + worse), a sale gets price x (1 - worse), and commission is on what was paid.
        """
        costs, (flow, size, slipped, _) = self.rules.costs, self._sums
        np.multiply(flow, costs.commission_rate, out=slipped)
        slipped += size
        if costs.impact_coefficient:
            worse = np.sqrt(units)
            worse *= self._row[IMPACT]
            worse += costs.half_spread_bps / 1e4
            slipped *= worse
        else:
            slipped *= costs.half_spread_bps / 1e4
