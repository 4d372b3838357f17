"""The return series behind published cases; percentages of the sources as fractions.

bacon, bacon_benchmark: 24 months, Bacon, Practical Portfolio Performance Measurement and Attribution, 2nd edition 2008,
as R PerformanceAnalytics' data set portfolio_bacon. ham1, sp500: columns HAM1 and SP500 TR, 1996 to 2006, of its data
set managers. convertible_arbitrage: 1997-01 to 2021-05 of its data set edhec.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PUBLISHED = {
    name: np.array(values) for name, values in json.loads((HERE / "published_returns.json").read_text()).items()
}
REFERENCE = json.loads((HERE / "reference.json").read_text())


def equity_of(changes):
    """Return the equity of a start capital of 1."""
    return np.concatenate(([1.0], np.cumprod(1 + changes)))


def days_of(changes, periods_per_year):
    """Return calendar days, so that growth by calendar time is growth by periods."""
    return len(changes) / periods_per_year * 365.25
