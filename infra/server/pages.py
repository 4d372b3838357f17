"""Pages of what has an order of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from infra.server.problems import Refused

T = TypeVar("T")


def paged(
    items: Iterable[T], limit: int, cursor: str | None, order: Callable[[T], tuple[int, str]]
) -> tuple[list[T], str | None]:
    """Return the newest items before the cursor, newest first, and the cursor of the next page.

    order: (time in ns, a name that no other item of that time has).
    """
    before = None if cursor is None else _read(cursor)
    found = sorted((each for each in items if before is None or order(each) < before), key=order, reverse=True)
    page = found[:limit]
    return page, "{}.{}".format(*order(page[-1])) if len(found) > limit else None


def _read(cursor: str) -> tuple[int, str]:
    time, dot, name = cursor.partition(".")
    if not (dot and name and time.isascii() and time.isdigit() and len(time) < 20):
        raise Refused(422, f"cursor {cursor[:40]!r} is none that a list gave as next")
    return int(time), name
