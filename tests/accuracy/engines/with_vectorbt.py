"""The workloads with vectorbt: fills at whatever price the order of a row names, here the open or the close."""

from __future__ import annotations

import numpy as np
import pandas as pd
import vectorbt as vbt
from numba import njit
from vectorbt.portfolio import nb
from vectorbt.portfolio.enums import NoOrder

from tests.accuracy.engines.common import CASH, FEE, Result, main


def sma_cross(frame: pd.DataFrame, cash: float, shift: int) -> Result:
    """Long 1,000 units while SMA20 > SMA50."""
    fast, slow = vbt.MA.run(frame.close, 20).ma, vbt.MA.run(frame.close, 50).ma
    target = (fast > slow).astype(float).mul(1_000).shift(shift, fill_value=0.0)
    size = target.where(target.diff().fillna(target) != 0)
    portfolio = vbt.Portfolio.from_orders(
        frame.close,
        size=size,
        size_type="targetamount",
        price=frame.open if shift else frame.close,
        fees=FEE,
        init_cash=cash,
        freq="D",
    )
    return int(portfolio.orders.count()), float(portfolio.final_value())


@njit
def _plan(c, closes, prices, target, shift):  # type: ignore[no-untyped-def]
    """Set the day's targets from equity at the close decided on, and sell before buying."""
    decided = c.i - shift
    if decided < 126 or decided >= len(closes) - 1:
        target[:] = np.nan
        return (target,)
    equity = c.last_cash[c.group] + np.sum(c.last_position * closes[decided])
    order = np.argsort(-(closes[decided] / closes[decided - 126]), kind="mergesort")
    target[:] = 0.0
    for column in order[:20]:
        target[column] = np.floor(0.0475 * equity / closes[decided, column])
    c.call_seq_now[:] = np.argsort((target - c.last_position) * prices[c.i])
    return (target,)


@njit
def _order(c, target, prices, fees):  # type: ignore[no-untyped-def]
    size = target[c.col] - c.position_now
    if np.isnan(size) or size == 0:
        return NoOrder
    return nb.order_nb(size=size, price=prices[c.i, c.col], fees=fees)


def top_returns(frames: dict[str, pd.DataFrame], cash: float, shift: int) -> Result:
    """Hold the 20 highest returns over 126 days, 4.75 % of equity each."""
    closes = pd.DataFrame({name: frame.close for name, frame in frames.items()})
    prices = closes.to_numpy() if not shift else np.column_stack([frame.open for frame in frames.values()])
    portfolio = vbt.Portfolio.from_order_func(
        closes,
        _order,
        prices,
        FEE,
        pre_segment_func_nb=_plan,
        pre_segment_args=(closes.to_numpy(), prices, np.empty(closes.shape[1]), shift),
        init_cash=cash,
        group_by=True,
        cash_sharing=True,
        freq="D",
    )
    return len(portfolio.orders.records), float(portfolio.final_value())


def run(workload: str, frames: dict[str, pd.DataFrame], fill: str) -> Result:
    """Run a workload."""
    shift = {"next_open": 1, "same_close": 0}[fill]
    if workload == "b":
        return top_returns(frames, CASH[workload], shift)
    return sma_cross(next(iter(frames.values())), CASH[workload], shift)


if __name__ == "__main__":
    main("vectorbt", "vectorbt", run)
