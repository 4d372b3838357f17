"""What the orchestrator on Faust remembers of a workflow, and what it asks of its memory and of its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.advance import next_due
from schemas import StateSaved, Workflow
from streams.record import Record, TopicPartition
from streams.serde import Serde
from streams.state import State

POOL = "orchestrator"
"""Names the consumer group and the source of messages, and begins the transactional ids."""
TABLE = f"{POOL}.workflows"
"""Names the table."""


class Kept(State):
    """A workflow as the table holds it."""

    workflow: Workflow
    """Where it stands."""
    partition: int
    """The partition of its commands and results, and so of its changelog records."""
    timer: int = 0
    """A timer that an older release fired and whose messages may not be out, ns UTC; 0 for none."""
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


@dataclass
class Effects:
    """What the events of one partition lead to: written all or nothing, and remembered only then."""

    partition: int
    states: dict[str, Kept] = field(default_factory=dict)
    """New states of workflows by workflow_id."""
    gone: list[str] = field(default_factory=list)
    """Workflows that are forgotten."""
    records: list[Record] = field(default_factory=list)
    """Messages and dead letters."""
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    """The next offset of each input that events came from."""
    dead: list[str] = field(default_factory=list)
    """Source topics of the dead letters."""


class Memory(Protocol):
    """The states of the workflows that this process owns."""

    def kept(self, workflow_id: str) -> Kept | None:
        """Return a workflow's state, or None where there is none."""
        ...

    def forgotten(self, partition: int) -> int:
        """Return the offset of the last command of the partition whose workflow is forgotten; -1 for none."""
        ...

    def changes(self, effects: Effects) -> Sequence[Record]:
        """Return the records that make states and what is forgotten durable."""
        ...

    def take_over(self, effects: Effects) -> None:
        """Hold from now on what was made durable."""
        ...


class Commit(Protocol):
    """Writes for one partition, as its only owner."""

    async def __call__(self, partition: int, records: Sequence[Record], offsets: dict[TopicPartition, int]) -> None:
        """Write records and input offsets, all or nothing; raise Fenced where another process owns the partition."""
        ...
