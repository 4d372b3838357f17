"""A backtest's result as files; the same run writes the same bytes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from orchestrator.backtest import Backtest
from schemas import Message
from streams.record import rfc3339


def write(backtest: Backtest, folder: Path) -> list[Path]:
    """Write result.json, equity.csv, orders.csv, fills.csv and denials.csv; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "result.json"
    result.write_text(json.dumps(backtest.result(), indent=2, sort_keys=True) + "\n")
    equity = ((rfc3339(ts), value) for ts, value in zip(backtest.times, backtest.equity, strict=True))
    return [
        result,
        _table(folder / "equity.csv", ("time", "equity"), equity),
        _messages(folder / "orders.csv", backtest.orders),
        _messages(folder / "fills.csv", backtest.fills),
        _messages(folder / "denials.csv", backtest.denials),
    ]


def _messages(path: Path, messages: Sequence[Message]) -> Path:
    names = list(type(messages[0]).model_fields) if messages else []
    return _table(path, names, ([getattr(message, name) for name in names] for message in messages))


def _table(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    return path
