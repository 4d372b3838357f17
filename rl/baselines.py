"""What a policy has to beat: rules that anyone can follow without learning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rl.evaluation import Decide
from rl.market import Market
from rl.minimum_variance import minimum_variance
from schemas.columns import Float64
from streams.errors import MissingData

YEAR = 252
"""Returns that a covariance is taken over."""
Baseline = Callable[[Market, Market], Decide]
"""(whole market, the span to trade) -> rule; the whole market is read up to the row at hand only."""


def buy_and_hold(whole: Market, span: Market) -> Decide:
    """Buy equal weights at the first row and keep them."""
    equal = _equal(span)
    return lambda row, _: equal if row == 0 else None


def equal_weight(whole: Market, span: Market) -> Decide:
    """Rebalance to equal weights on the first row of each month."""
    equal, first = _equal(span), _first_of_month(span)
    return lambda row, _: equal if first[row] else None


def least_variance(whole: Market, span: Market) -> Decide:
    """Rebalance to the long-only weights of least variance on the first row of each month.

    The covariance is that of the last 252 daily returns. Raises MissingData where the span begins with fewer before it.
    """
    offset = int(np.searchsorted(whole.panel.times, span.panel.times[0]))
    if offset < YEAR:
        raise MissingData(f"minimum variance needs {YEAR} rows before the span, there are {offset}")
    closes, first = whole.panel.closes, _first_of_month(span)

    def decide(row: int, _: object) -> Float64 | None:
        if not first[row]:
            return None
        known = closes[offset + row - YEAR : offset + row + 1]
        # np.cov gives a bare number for one instrument.
        return minimum_variance(np.atleast_2d(np.cov((known[1:] / known[:-1] - 1).T)))

    return decide


BASELINES: dict[str, Baseline] = {
    "buy and hold": buy_and_hold,
    "equal weight": equal_weight,
    "minimum variance": least_variance,
}
"""By the name that reports give them."""


def _equal(span: Market) -> Float64:
    count = len(span.panel.instrument_ids)
    return np.full(count, 1 / count)


def _first_of_month(span: Market) -> list[bool]:
    months = [date[:7] for date in span.panel.session_dates]
    return [row == 0 or month != months[row - 1] for row, month in enumerate(months)]
