"""The workloads with bt: fills at the close decided on."""

from __future__ import annotations

import bt
import numpy as np
import pandas as pd

from tests.accuracy.engines.common import CASH, FEE, Result, best, main


class SmaCross(bt.Algo):  # type: ignore[misc]
    """Long 1,000 units while SMA20 > SMA50."""

    def __init__(self, closes: pd.DataFrame) -> None:
        super().__init__()
        self.symbol = closes.columns[0]
        mean20, mean50 = (closes[self.symbol].rolling(window).mean() for window in (20, 50))
        self.target = np.where(mean20 > mean50, 1_000, 0)
        self.row, self.held = 0, 0

    def __call__(self, target: bt.Strategy) -> bool:
        """Trade to the target."""
        row, self.row = self.row, self.row + 1
        if self.target[row] != self.held:
            target.transact(self.target[row] - self.held, child=self.symbol)
            self.held = self.target[row]
        return True


class TopReturns(bt.Algo):  # type: ignore[misc]
    """The 20 highest returns over 126 days, 4.75 % of equity each."""

    def __init__(self, closes: pd.DataFrame) -> None:
        super().__init__()
        self.closes, self.names = closes.to_numpy(), list(closes.columns)
        self.row, self.held = 0, np.zeros(len(self.names))

    def __call__(self, target: bt.Strategy) -> bool:
        """Trade to the targets."""
        row, self.row = self.row, self.row + 1
        if 126 <= row < len(self.closes) - 1:
            chosen, wanted = best(self.closes[row - 126 : row + 1]), np.zeros(len(self.names))
            wanted[chosen] = np.floor(0.0475 * target.value / self.closes[row, chosen])
            for column in np.flatnonzero(wanted != self.held):
                target.transact(wanted[column] - self.held[column], child=self.names[column])
            self.held = wanted
        return True


def run(workload: str, frames: dict[str, pd.DataFrame], fill: str) -> Result:
    """Run a workload."""
    if fill != "same_close":
        raise SystemExit("bt fills at the close decided on: same_close")
    closes = pd.DataFrame({name: frame.close for name, frame in frames.items()})
    algo = TopReturns(closes) if workload == "b" else SmaCross(closes)
    backtest = bt.Backtest(
        bt.Strategy(workload, [algo], children=list(closes.columns)),
        closes,
        initial_capital=CASH[workload],
        commissions=lambda quantity, price: abs(quantity) * price * FEE,
        progress_bar=False,
    )
    backtest.run()
    return len(backtest.strategy.get_transactions()), backtest.strategy.value


if __name__ == "__main__":
    main("bt", "bt", run)
