"""Run workloads whole and print a line of JSON for each, beside the hand-written loop's answer.

python -m tests.accuracy a [--fill next_open] [--rows N]
python -m tests.accuracy goog --goog GOOG.csv
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import resource
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agents.execution.venue import FillAt
from orchestrator.backtest import Backtest
from tests.accuracy import goog, loops, pools, replays
from tests.accuracy.workloads import daily_bars, minute_bars, trade_ticks

Case = tuple[Coroutine[Any, Any, Backtest], Callable[[], tuple[int, float]]]
"""The replay and the loop, neither run yet."""


def sma_case(path: Path | None, rows: int | None, fill: FillAt) -> Case:
    """Return workload a, or the same rules on the daily bars of a file."""
    bars, cash = (minute_bars(), replays.CASH_A) if path is None else (goog.read(path), replays.CASH_GOOG)
    bars = bars.first(rows or len(bars.ts))
    slices = replays.minute_slices(bars) if path is None else replays.session_slices(bars)
    prices = (bars.open / 100, bars.close / 100)
    replay = replays.run(pools.sma_cross(), slices, ["S000"], cash, fill)
    return replay, lambda: loops.sma_cross(*prices, cash=cash, fill=fill)


def top_case(rows: int | None, fill: FillAt) -> Case:
    """Return workload b."""
    bars = daily_bars().first(rows or 2_520)
    prices, days = (bars.open / 100, bars.close / 100), len(bars.ts)
    symbols = replays.names(bars.close.shape[1])
    replay = replays.run(pools.top_returns(days), replays.daily_slices(bars), symbols, replays.CASH_B, fill)
    return replay, lambda: loops.top_returns(*prices, cash=replays.CASH_B, fill=fill)


def ema_case(rows: int | None, fill: FillAt) -> Case:
    """Return workload c."""
    ticks = trade_ticks().first(rows or 5_000_000)
    replay = replays.run(pools.ema_cross(), replays.tick_slices(ticks), replays.names(10), replays.CASH_C, fill)
    return replay, lambda: loops.ema_cross(ticks.symbol.tolist(), (ticks.price / 100).tolist(), cash=replays.CASH_C)


def case(workload: str, path: Path | None, rows: int | None, fill: FillAt) -> Case:
    """Return what a workload compares."""
    if workload == "b":
        return top_case(rows, fill)
    return ema_case(rows, "next_tick") if workload == "c" else sma_case(path, rows, fill)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.accuracy")
    parser.add_argument("workload", choices=["a", "b", "c", "goog"])
    parser.add_argument("--fill", choices=["next_open", "next_close", "same_close"], default="next_open")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--goog", type=Path, help="CSV of daily bars; for goog")
    args = parser.parse_args()
    if (args.workload == "goog") != (args.goog is not None):
        parser.error("goog takes --goog FILE, and nothing else does")
    replay, loop = case(args.workload, args.goog, args.rows, args.fill)
    began = time.perf_counter()
    backtest = asyncio.run(replay)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    orders, equity = loop()
    line = {
        "engine": "FinAgent replay",
        "python": platform.python_version(),
        "workload": args.workload,
        "fill": backtest.plan.fill,
        "orders": len(backtest.fills),
        "equity": round(backtest.final_equity, 4),
        "loop": [orders, round(equity, 4)],
        "rows": backtest.rows,
        "seconds": round(seconds, 2),
        "rows_per_s": round(backtest.rows / seconds),
        "peak_mib": peak,
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
