"""What the engine scripts share: data by workload, the rules' targets, and the line that each prints.

Run in the environments that run.sh makes, with the project's folder on PYTHONPATH; nothing of the project but the data
generator is imported there.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import pandas as pd

from tests.accuracy.workloads import Bars, daily_bars, minute_bars

FEE = 0.001
CASH = {"a": 1e8, "b": 1e8, "goog": 1e7}
Result = tuple[int, float]
"""Orders filled, final equity."""


def frames(workload: str, goog: str, rows: int | None) -> dict[str, pd.DataFrame]:
    """Return open, high, low, close and volume by symbol."""
    if workload == "goog":
        return {"GOOG": pd.read_csv(goog, index_col=0, parse_dates=True).rename(columns=str.lower)[:rows]}
    bars = minute_bars() if workload == "a" else daily_bars()
    if workload == "a":
        return {"S000": _frame(bars, slice(None))[:rows]}
    return {f"S{symbol:03d}": _frame(bars, symbol)[:rows] for symbol in range(bars.close.shape[1])}


def _frame(bars: Bars, symbol: int | slice) -> pd.DataFrame:
    prices = {name: getattr(bars, name)[..., symbol] / 100 for name in ("open", "high", "low", "close")}
    volume = bars.volume[..., symbol].astype(float)
    return pd.DataFrame({**prices, "volume": volume}, index=pd.to_datetime(bars.ts))


def best(closes: np.ndarray) -> np.ndarray:
    """Return the columns of the 20 highest returns over 126 rows, closes of shape (127, symbols)."""
    return np.argsort(-(closes[-1] / closes[0]), kind="stable")[:20]


def main(engine: str, package: str, run: Callable[[str, dict[str, pd.DataFrame], str], Result]) -> None:
    """Run a workload with an engine and print one JSON line; run takes (workload, frames, fill)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=list(CASH))
    parser.add_argument("fill")
    parser.add_argument("--goog", default="")
    parser.add_argument("--rows", type=int)
    args = parser.parse_args()
    data = frames(args.workload, args.goog, args.rows)
    began = time.perf_counter()
    orders, equity = run(args.workload, data, args.fill)
    seconds, bars = time.perf_counter() - began, sum(map(len, data.values()))
    line = {
        "engine": f"{engine} {version(package)}",
        "python": platform.python_version(),
        "workload": args.workload,
        "fill": args.fill,
        "orders": orders,
        "equity": round(float(equity), 4),
        "bars": bars,
        "seconds": round(seconds, 2),
        "bars_per_s": round(bars / seconds),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(line), flush=True)
