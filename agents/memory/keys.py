"""Keys in the store, and an event's position: the one order in which events are kept, listed and forgotten.

A position is text that sorts: when the event was recorded, when it happened, its topic's rank, its message id. All of
it stands in the event's own headers, so neither partitions nor the order of reading leave a trace in it.
"""

from __future__ import annotations

from streams.topics import DATA_PLANE_RANK

ROOT = "memory:"
OWNER = f"{ROOT}owner"
"""The lease of the one agent that writes."""
OFFSETS = f"{ROOT}offsets"
"""How far the log has been read; written together with what was read."""
RUNS = f"{ROOT}runs"
"""Ordered set of `<start> <run_id>`."""
LAYOUT = 1
"""Of keys and values; what another layout wrote is dropped and read again."""
_TIME = 19
_LAST = 10**_TIME - 1
_RANKS = {name: rank for rank, name in enumerate(DATA_PLANE_RANK)}


def event_key(message_id: str) -> str:
    """Return where an event stands."""
    return f"{ROOT}event:{message_id}"


def topic_key(topic: str) -> str:
    """Return the ordered set of the positions of a topic's events."""
    return f"{ROOT}topic:{topic}"


def reference_key(value: str) -> str:
    """Return the ordered set of the positions of events that refer to an id or a symbol."""
    return f"{ROOT}ref:{value}"


def run_key(run_id: str) -> str:
    """Return where the latest state of a run stands."""
    return f"{ROOT}run:{run_id}"


def account_key(account_id: str) -> str:
    """Return where the latest state of an account stands."""
    return f"{ROOT}account:{account_id}"


def position_of(recorded: int, ts: int, topic: str, message_id: str) -> str:
    """Return an event's position; times in ns UTC."""
    rank = _RANKS.get(topic, len(_RANKS))
    return f"{_digits(recorded)}-{_digits(ts)}-{rank:02d}-{message_id}"


def recorded_before(ts: int) -> str:
    """Return what lies above the positions of all events recorded before a time, ns UTC."""
    return _digits(ts)


def id_of(position: str) -> str:
    """Return the message id in a position."""
    return position[2 * _TIME + 5 :]


def ts_of(position: str) -> int:
    """Return when the event at a position happened, ns UTC."""
    return int(position[_TIME + 1 : 2 * _TIME + 1])


def _digits(ts: int) -> str:
    return f"{min(max(ts, 0), _LAST):0{_TIME}d}"
