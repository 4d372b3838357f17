"""The latest state of runs and accounts: of each fact the one with the highest position, and counts of messages.

A document holds `facts`: by name, its position and its value. So it does not depend on the order of reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agents.memory.content import MAX_STATE_BYTES, fields_of
from agents.memory.entry import Entry
from agents.memory.keys import account_key, run_key
from schemas import KillSwitchChanged, PositionsUpdated, Signal, StrategyStarted, StrategyStopped

COUNTED = frozenset(
    {
        "Signal",
        "OrderProposed",
        "OrderDenied",
        "SubmitOrder",
        "CancelOrder",
        "OrderAccepted",
        "OrderRejected",
        "OrderFilled",
        "OrderCanceled",
        "OrderExpired",
    }
)
"""Messages that are counted for their run."""
Document = dict[str, Any]


def keys_of(entries: Iterable[Entry]) -> list[str]:
    """Return the documents that entries change."""
    return sorted({key for entry in entries for key, *_ in _facts(entry)})


def updated(documents: Mapping[str, Document], entries: Iterable[Entry]) -> dict[str, Document]:
    """Return documents after the entries, each of which counts once for each time that it is given."""
    changed = dict(documents)
    for entry in entries:
        for key, fact, value in _facts(entry):
            document = changed.setdefault(key, {"counts": {}, "facts": {}})
            _count(document, entry)
            if fact:
                _note(document["facts"], fact, entry.position, value)
    return changed


def stored(document: Document) -> bytes:
    """Return a document as it is stored."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def value_of(document: Document, fact: str) -> Any:
    """Return the value of a fact; None where there is none yet."""
    return document["facts"].get(fact, (None, None))[1]


def _facts(entry: Entry) -> Iterator[tuple[str, str, Any]]:
    """Yield key of the document, name of the fact (empty: a count alone) and value."""
    message = entry.message
    if message is None:
        return
    time = {"time": entry.document["time"]}
    if run_id := getattr(message, "run_id", ""):
        if isinstance(message, StrategyStarted):
            yield run_key(run_id), "started", {**fields_of(message, MAX_STATE_BYTES), **time}
        elif isinstance(message, StrategyStopped):
            yield run_key(run_id), "stopped", {"reason": message.reason, **time}
        elif isinstance(message, Signal):
            yield run_key(run_id), f"signal {message.instrument_id}", {**_opinion(message), **time}
        elif type(message).__name__ in COUNTED:
            yield run_key(run_id), "", None
    if isinstance(message, PositionsUpdated):
        yield account_key(message.account_id), "positions", {**fields_of(message, MAX_STATE_BYTES), **time}
    elif isinstance(message, KillSwitchChanged):
        yield (
            account_key(message.account_id),
            "kill_switch",
            {"active": message.active, "reason": message.reason, **time},
        )


def _opinion(signal: Signal) -> dict[str, Any]:
    fields = ("instrument_id", "signal", "score", "confidence", "target_weight", "price", "model")
    return {name: getattr(signal, name) for name in fields}


def _count(document: Document, entry: Entry) -> None:
    kind = type(entry.message).__name__
    if kind in COUNTED:
        document["counts"][kind] = document["counts"].get(kind, 0) + 1


def _note(facts: dict[str, Any], fact: str, position: str, value: Any) -> None:
    if fact not in facts or facts[fact][0] <= position:
        facts[fact] = [position, value]
