"""Workflows as the log tells of them: counts, those in flight, and the newest ones whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from schemas import Workflow
from schemas.workflow import WorkflowStatus
from streams.errors import MissingData
from streams.serde import Serde


@dataclass(slots=True)
class WorkflowRecord:
    """What is kept of a workflow; its steps and results stay encoded until somebody asks."""

    workflow_id: str
    kind: str
    status: WorkflowStatus
    error: str
    started: int
    updated: int
    value: bytes = field(repr=False)


@dataclass
class Workflows:
    """Running workflows, and the newest `limit` of the ended ones."""

    serde: Serde
    limit: int
    forgotten: Callable[[str], None] = lambda workflow_id: None
    """Told the id of each workflow that falls out."""
    records: dict[str, WorkflowRecord] = field(default_factory=dict)
    """By workflow_id, in the order in which they were first seen."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many have each status, forgotten ones included."""
    submitted: set[str] = field(default_factory=set)
    """Those that this server submitted and that no orchestrator has taken up yet."""
    _ended: dict[str, None] = field(default_factory=dict)

    def learn(self, workflow: Workflow, value: bytes) -> bool:
        """Note a state; return whether it is news."""
        name, known = workflow.workflow_id, self.records.get(workflow.workflow_id)
        if known is not None and (workflow.ts_event < known.updated or value == known.value):
            return False
        self.submitted.discard(name)
        if known is not None:
            self.counts[known.status] -= 1
        self.counts[workflow.status] += 1
        self.records[name] = WorkflowRecord(
            name, workflow.kind, workflow.status, workflow.error, workflow.started, workflow.ts_event, value
        )
        if workflow.status == "running":
            self._ended.pop(name, None)
        else:
            self._ended[name] = None
            self._forget()
        return True

    def _forget(self) -> None:
        while len(self._ended) > self.limit:
            name = next(iter(self._ended))
            del self._ended[name], self.records[name]
            self.forgotten(name)

    @property
    def in_flight(self) -> int:
        """Return how many are submitted and have not ended."""
        return self.counts["running"] + len(self.submitted)

    def get(self, workflow_id: str) -> Workflow:
        """Return a workflow; raise MissingData where it is not known."""
        if workflow_id not in self.records:
            raise MissingData(f"no workflow {workflow_id!r}")
        return self.whole(self.records[workflow_id])

    def whole(self, record: WorkflowRecord) -> Workflow:
        """Return a workflow with its steps."""
        return self.decoded(record.value)

    def decoded(self, value: bytes) -> Workflow:
        """Read a workflow's state."""
        workflow = self.serde.decode(value)
        assert isinstance(workflow, Workflow)
        return workflow

    def newest_first(self) -> Iterator[WorkflowRecord]:
        """Yield the records from the one started last."""
        yield from sorted(self.records.values(), key=lambda each: (each.started, each.workflow_id), reverse=True)
