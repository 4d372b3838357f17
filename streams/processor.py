"""A pool as the task loop sees it: what it reads, when it may handle what, and what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from streams.outputs import Output, Outputs
from streams.record import Event
from streams.slices import Work

if TYPE_CHECKING:
    from streams.task import Task


class Inbox(Protocol):
    """Decides what may be handled when."""

    def offer(self, event: Event) -> None:
        """Take one record in."""
        ...

    def next(self) -> Work | None:
        """Return what may be handled now."""
        ...


class Processor(Protocol):
    """A pool's decisions, as the task loop sees them."""

    pool: str
    """Names tasks, changelog and sources of messages."""
    owned: tuple[str, ...]
    """Topics of which the task reads its own partition."""
    broadcast: tuple[str, ...]
    """Topics of which the task reads every partition."""

    def inbox(self, task: Task) -> Inbox:
        """Make the inbox once the task's state is restored."""
        ...

    async def process(self, work: Work, task: Task) -> Outputs:
        """Handle a piece of work; raise HandlerError where a handler raised."""
        ...

    def due(self, task: Task) -> Sequence[Output]:
        """Return what timers that are due lead to."""
        ...
