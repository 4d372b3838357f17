"""Adjusted prices and corporate actions never meet: each alone is right, both together count an action twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas import Bar, CorporateAction, TickBlock
from streams.errors import InvalidData


def learn(known: Mapping[str, str], rows: Iterable[Bar | TickBlock | CorporateAction]) -> dict[str, str]:
    """Return the adjustment by instrument after more rows; instruments with raw rows and no action are left out.

    Raises InvalidData where adjusted bars and a corporate action of one instrument meet.
    """
    after = dict(known)
    for row in rows:
        if (isinstance(row, Bar) and row.adjustment == "raw") or isinstance(row, TickBlock):
            continue
        mine = "raw" if isinstance(row, CorporateAction) else row.adjustment
        other = after.setdefault(row.instrument_id, mine)
        if other != mine and "raw" in (mine, other):
            raise InvalidData(
                f"{row.instrument_id} has {max(mine, other)} bars and corporate actions, which take raw ones"
            )
    return after


def check_times(ts: int, last: int, rows: Iterable[Bar | TickBlock | CorporateAction]) -> None:
    """Raise InvalidData for a corporate action in a slice that does not lie after the slice before, at time last."""
    for row in rows:
        if isinstance(row, CorporateAction) and not last < row.ts_event <= ts:
            raise InvalidData(
                f"{row.kind} of {row.instrument_id} at {row.ts_event} is in slice {ts}, expected a time after {last}"
            )
