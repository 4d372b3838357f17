"""The daily workloads with zipline-reloaded: fills at the next close."""

from __future__ import annotations

import math
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from tests.accuracy.engines.common import CASH, FEE, Result, best, main

CALENDAR = "XNYS"


def run(workload: str, frames: dict[str, pd.DataFrame], fill: str) -> Result:
    """Run a workload."""
    if workload == "a" or fill != "next_close":
        raise SystemExit("zipline fills daily bars at the next close: goog or b, next_close")
    with tempfile.TemporaryDirectory() as root:
        os.environ["ZIPLINE_ROOT"] = root
        return _run(workload, _on_sessions(frames) if workload == "b" else frames)


def _on_sessions(frames: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Put the rows on sessions of the exchange: on the calendar 24/5 zipline shows the close of the day before."""
    from zipline.utils.calendar_utils import get_calendar

    rows = len(next(iter(frames.values())))
    sessions = get_calendar(CALENDAR).sessions
    index = sessions[sessions >= "2008-01-02"][:rows]
    return {name: frame.set_axis(index) for name, frame in frames.items()}


def _run(workload: str, frames: dict[str, pd.DataFrame]) -> Result:
    from zipline import run_algorithm
    from zipline.data import bundles
    from zipline.utils.calendar_utils import get_calendar

    first = next(iter(frames.values())).index
    start, end = first[0], first[-1]
    bundles.register("made", _writer(frames), calendar_name=CALENDAR, start_session=start, end_session=end)
    bundles.ingest("made", show_progress=False)
    symbols = list(frames)
    results = run_algorithm(
        start,
        end,
        _started(symbols),
        CASH[workload],
        handle_data=_top_returns(len(first)) if workload == "b" else _sma_cross,
        bundle="made",
        trading_calendar=get_calendar(CALENDAR),
        benchmark_returns=pd.Series(0.0, index=first),
    )
    return sum(map(len, results.transactions)), results.portfolio_value.iloc[-1]


def _writer(frames: dict[str, pd.DataFrame]) -> Callable[..., None]:
    def ingest(environ: Any, assets: Any, minutes: Any, days: Any, adjustments: Any, *rest: Any) -> None:
        index = next(iter(frames.values())).index
        about = {"symbol": list(frames), "asset_name": list(frames), "exchange": "MADE"}
        span = {"start_date": index[0], "end_date": index[-1], "auto_close_date": index[-1] + pd.Timedelta(days=1)}
        table = pd.DataFrame(about | span, index=range(len(frames)))
        days.write(_numbered(frames), show_progress=False)
        assets.write(
            equities=table,
            exchanges=pd.DataFrame({"exchange": ["MADE"], "canonical_name": ["MADE"], "country_code": ["US"]}),
        )
        adjustments.write()

    return ingest


def _numbered(frames: dict[str, pd.DataFrame]) -> Iterator[tuple[int, pd.DataFrame]]:
    yield from enumerate(frames.values())


def _started(symbols: list[str]) -> Callable[[Any], None]:
    from zipline.api import set_cancel_policy, set_commission, set_slippage, symbol
    from zipline.finance.cancel_policy import NeverCancel
    from zipline.finance.commission import PerDollar
    from zipline.finance.slippage import NoSlippage

    def initialize(context: Any) -> None:
        set_slippage(NoSlippage())
        set_commission(PerDollar(FEE))
        set_cancel_policy(NeverCancel())
        context.assets, context.day = [symbol(name) for name in symbols], 0

    return initialize


def _sma_cross(context: Any, data: Any) -> None:
    from zipline.api import order

    context.day += 1
    if context.day < 50:
        return
    (asset,) = context.assets
    closes = data.history(asset, "close", 50, "1d").to_numpy()
    target = 1_000 if closes[-20:].mean() > closes.mean() else 0
    change = target - context.portfolio.positions[asset].amount
    if change:
        order(asset, change)


def _top_returns(days: int) -> Callable[[Any, Any], None]:
    from zipline.api import order

    closes: deque[np.ndarray] = deque(maxlen=127)

    def handle_data(context: Any, data: Any) -> None:
        context.day += 1
        closes.append(data.current(context.assets, "close")[context.assets].to_numpy())
        if context.day <= 126 or context.day == days:
            return
        equity, chosen = context.portfolio.portfolio_value, set(best(np.array(closes)))
        for column, asset in enumerate(context.assets):
            target = math.floor(0.0475 * equity / closes[-1][column]) if column in chosen else 0
            change = target - context.portfolio.positions[asset].amount
            if change:
                order(asset, change)

    return handle_data


if __name__ == "__main__":
    main("zipline-reloaded", "zipline-reloaded", run)
