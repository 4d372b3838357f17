"""Which ended workflows are remembered, and how a command of a forgotten one is known when it comes again.

A workflow that ended is forgotten after a time, or when too many ended after it. Commands of a partition are handled in
the order of their offsets. So where every command up to an offset was handled, one at or below it that has no state is
one whose state was forgotten: it is not handled again, however long the log keeps it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from schemas import StartStrategy, Workflow

MAX_FORGOTTEN = 500
"""Workflows forgotten at once; the rest wait for the next turn."""


@dataclass(frozen=True)
class Retention:
    """How long and how many ended workflows are remembered."""

    seconds: float = 86_400.0
    """After this time from its end a workflow is forgotten."""
    most: int = 2_000
    """Beyond so many the one that ended first is forgotten."""


DEFAULT = Retention()


def has_ended(workflow: Workflow) -> bool:
    """Return whether nothing more is to come of a workflow; one whose run is on the data plane has not ended."""
    is_run = workflow.kind == StartStrategy.__name__ and workflow.status == "completed"
    return workflow.status != "running" and not is_run


class Ended:
    """Ended workflows in the order in which they ended."""

    def __init__(self, retention: Retention, workflows: Iterable[Workflow] = ()) -> None:
        self._retention = retention
        self._ended: OrderedDict[str, int] = OrderedDict()
        for workflow in sorted(workflows, key=lambda each: each.ts_event):
            self.note(workflow)

    def note(self, workflow: Workflow) -> None:
        """Take note of a workflow's newest state."""
        if not has_ended(workflow):
            self._ended.pop(workflow.workflow_id, None)
        elif self._ended.get(workflow.workflow_id) != workflow.ts_event:
            self._ended[workflow.workflow_id] = workflow.ts_event
            self._ended.move_to_end(workflow.workflow_id)

    def forget(self, workflow_id: str) -> None:
        """Drop a workflow that is forgotten."""
        self._ended.pop(workflow_id, None)

    def due(self, now: int) -> list[str]:
        """Return the workflows to forget now, ns UTC, oldest first, at most MAX_FORGOTTEN."""
        too_old, too_many = now - round(self._retention.seconds * 1e9), len(self._ended) - self._retention.most
        found: list[str] = []
        for index, (workflow_id, ended) in enumerate(self._ended.items()):
            if len(found) == MAX_FORGOTTEN or (index >= too_many and ended > too_old):
                break
            found.append(workflow_id)
        return found
