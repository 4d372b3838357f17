"""The workloads with backtrader: fills at the next open, or (cheat-on-close) at the close decided on."""

from __future__ import annotations

import math

import backtrader
import numpy as np
import pandas as pd

from tests.accuracy.engines.common import CASH, FEE, Result, best, main


class SmaCross(backtrader.Strategy):  # type: ignore[misc]
    """Long 1,000 units while SMA20 > SMA50."""

    def __init__(self) -> None:
        self.fast, self.slow = backtrader.ind.SMA(period=20), backtrader.ind.SMA(period=50)
        self.fills = 0

    def notify_order(self, order: backtrader.Order) -> None:
        """Count fills."""
        self.fills += order.status == order.Completed

    def next(self) -> None:
        """Trade to the target."""
        change = (1_000 if self.fast[0] > self.slow[0] else 0) - self.position.size
        if change:
            (self.buy if change > 0 else self.sell)(size=abs(change))


class TopReturns(backtrader.Strategy):  # type: ignore[misc]
    """The 20 highest returns over 126 days, 4.75 % of equity each."""

    def __init__(self) -> None:
        self.fills = 0

    def notify_order(self, order: backtrader.Order) -> None:
        """Count fills."""
        self.fills += order.status == order.Completed

    def next(self) -> None:
        """Trade to the targets."""
        day = len(self)
        if day <= 126 or day == self.data.buflen():
            return
        equity = self.broker.getvalue()
        chosen = set(best(np.array([[data.close[-126] for data in self.datas], [d.close[0] for d in self.datas]])))
        changes = []
        for column, data in enumerate(self.datas):
            target = math.floor(0.0475 * equity / data.close[0]) if column in chosen else 0
            changes.append((target - self.getposition(data).size, column))
        # Sales first: an order that the cash does not cover when its turn comes is refused.
        for change, column in sorted(change for change in changes if change[0]):
            (self.buy if change > 0 else self.sell)(data=self.datas[column], size=abs(change))


def run(workload: str, frames: dict[str, pd.DataFrame], fill: str) -> Result:
    """Run a workload."""
    cerebro = backtrader.Cerebro(stdstats=False)
    cerebro.broker.setcash(CASH[workload])
    cerebro.broker.setcommission(commission=FEE)
    cerebro.broker.set_checksubmit(False)
    cerebro.broker.set_coc({"next_open": False, "same_close": True}[fill])
    timeframe = backtrader.TimeFrame.Minutes if workload == "a" else backtrader.TimeFrame.Days
    for name, frame in frames.items():
        cerebro.adddata(backtrader.feeds.PandasData(dataname=frame, timeframe=timeframe), name=name)
    cerebro.addstrategy(TopReturns if workload == "b" else SmaCross)
    (strategy,) = cerebro.run()
    return strategy.fills, cerebro.broker.getvalue()


if __name__ == "__main__":
    main("backtrader", "backtrader", run)
