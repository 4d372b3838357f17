"""The SMA cross of 20 and 50 closes on Google's daily bars."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

import numpy as np

from tests.accuracy.workloads import Bars


def read(path: Path) -> Bars:
    """Read a CSV of date, open, high, low, close, volume with a header."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    days = [dt.datetime.fromisoformat(row[0]).replace(tzinfo=dt.UTC) for row in rows]
    columns = [np.array([round(float(row[field]) * 100) for row in rows]) for field in range(1, 5)]
    volume = np.array([int(float(row[5])) for row in rows])
    return Bars(np.array([int(day.timestamp()) * 10**9 for day in days]), *columns, volume)
