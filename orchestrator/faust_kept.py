"""What the orchestrator on Faust remembers of a workflow, and what it asks of its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from orchestrator.advance import next_due
from schemas import StateSaved, Workflow
from streams.record import Record
from streams.serde import Serde
from streams.state import State

POOL = "orchestrator"
"""Names the consumer group and the source of messages."""
TABLE = f"{POOL}.workflows"
"""Names the table."""


class Kept(State):
    """A workflow as the table holds it."""

    workflow: Workflow
    """Where it stands."""
    partition: int
    """The partition of its commands and results, and so of its changelog records."""
    timer: int = 0
    """A timer that fired and whose messages may not be out yet, ns UTC; 0 for none."""
    offset: int = -1
    """Offset of its last command."""

    @property
    def due(self) -> int:
        """Return when a timer is to fire, ns UTC; 0 for never."""
        return self.timer or next_due(self.workflow)

    def encode(self, serde: Serde) -> bytes:
        """Write the changelog value."""
        saved = StateSaved(pool=POOL, key=self.workflow.workflow_id, state=self.model_dump_json())
        return serde.encode(saved)

    @classmethod
    def decode(cls, value: bytes, serde: Serde) -> Kept:
        """Read what encode wrote."""
        saved = serde.decode(value)
        assert isinstance(saved, StateSaved)
        return cls.model_validate_json(saved.state)


class Forgotten(State):
    """How far the commands of a partition reach whose workflows are forgotten."""

    offset: int = -1
    """The last such command; all up to it were handled."""

    def encode(self, serde: Serde) -> bytes:
        """Write the changelog value."""
        return serde.encode(StateSaved(pool=POOL, key="forgotten", state=self.model_dump_json()))

    @classmethod
    def decode(cls, value: bytes, serde: Serde) -> Forgotten:
        """Read what encode wrote."""
        saved = serde.decode(value)
        assert isinstance(saved, StateSaved)
        return cls.model_validate_json(saved.state)


class Memory(Protocol):
    """The states of the workflows that this process owns."""

    def kept(self, workflow_id: str) -> Kept | None:
        """Return a workflow's state, or None where there is none."""
        ...

    async def keep(self, states: Mapping[str, Kept]) -> None:
        """Write states by workflow_id; they are durable when this returns."""
        ...

    def forgotten(self, partition: int) -> int:
        """Return the offset of the last command of the partition whose workflow is forgotten; -1 for none."""
        ...

    async def forget(self, workflow_ids: Sequence[str]) -> None:
        """Drop states, having noted the offsets of their commands; durable when this returns."""
        ...


class Send(Protocol):
    """Writes to topics."""

    async def __call__(self, records: Sequence[Record]) -> None:
        """Send records; they are durable when this returns."""
        ...
