"""Deterministic ids: the same cause gives the same id, in live, replay and redelivery."""

from __future__ import annotations

import uuid

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://finagent.example/ids")


def derive_id(cause: str, pool: str, *parts: object) -> str:
    """Return the id of what a pool makes of its cause; parts tell several results of one cause apart."""
    return str(uuid.uuid5(NAMESPACE, "|".join((cause, pool, *map(str, parts)))))


def row_id(source: str, instrument_id: str, interval: str, ts_event: int, sequence: int) -> str:
    """Return the id of a market-data row, whatever block it travels in; a tick's interval is 'tick'."""
    return str(uuid.uuid5(NAMESPACE, f"{source}|{instrument_id}|{interval}|{ts_event}|{sequence}"))


def timer_id(key: str, due: int) -> str:
    """Return the id of a timer's firing."""
    return str(uuid.uuid5(NAMESPACE, f"timer|{key}|{due}"))


def slice_id(ts: int) -> str:
    """Return the id of a slice: the cause of what a pool says about the slice as a whole."""
    return str(uuid.uuid5(NAMESPACE, f"slice|{ts}"))
