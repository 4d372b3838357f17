"""What is being handled right now, for log lines: which task, and which record or slice."""

from __future__ import annotations

from contextvars import ContextVar

from streams.record import Event
from streams.slices import Work

TASK: ContextVar[str] = ContextVar("finagent_task", default="")
"""Id of the task that runs here, `<pool>.<partition>`; empty outside tasks."""
IN_HAND: ContextVar[Event | Work | None] = ContextVar("finagent_in_hand", default=None)
"""The record at hand; the piece of work where it is handled as a whole; None between pieces of work."""
