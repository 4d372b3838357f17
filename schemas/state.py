"""Infrastructure records: a task's saved state and dead letters."""

from __future__ import annotations

from schemas.message import Id, Message


class StateSaved(Message):
    """The state of one key of one task, in its pool's changelog."""

    pool: Id
    """The pool."""
    key: Id
    """The key."""
    state: str
    """The state as JSON."""
