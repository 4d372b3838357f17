"""What a learner has committed since its last checkpoint: read back at its next start.

Each transaction of a learner holds a Batch: the chunks that it took, in its order, and where it stands after them. The
newest checkpoint and the batches after it give its buffer as it was, whatever order the partitions are read in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rl.streaming import LEARNER, saved
from schemas.message import canonical_json
from schemas.state import StateSaved
from streams.broker import Broker, Transactions
from streams.clock import Clock
from streams.errors import BrokerError, ConfigError, InvalidData, MissingData
from streams.reading import read_whole
from streams.record import Received, Record, TopicPartition
from streams.serde import Serde
from streams.topics import changelog

PLACE = TopicPartition(changelog(LEARNER), 0)
_POLL_S, _IDLE_POLLS = 0.5, 60


class Batch(BaseModel):
    """One transaction of a learner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunks: tuple[tuple[int, int], ...] = ()
    """Partition and offset of each chunk that was taken, in that order."""
    positions: dict[int, int] = Field(default_factory=dict)
    """Offset below which everything is settled, by partition."""
    intake: dict[str, Any] = Field(default_factory=dict)
    """The state of rl.ingest.Intake then."""
    version: int = 0
    """The newest policy's."""


class LearnerLog:
    """The changelog of one training's learner."""

    def __init__(self, broker: Broker, training_id: str, serde: Serde, clock: Clock) -> None:
        self._broker = broker
        self._training_id = training_id
        self._serde = serde
        self._clock = clock
        self.next = 0
        """Index of the next batch."""
        self._first = 0

    async def exists(self) -> bool:
        """Tell whether the training was ever begun on this log."""
        return any([record.key == self._start async for record in read_whole(self._broker, [PLACE])])

    async def take_over(self, transactions: Transactions, told: dict[str, Any]) -> dict[int, Batch]:
        """Say that a learner starts, and return the batches of those before it; told: what must not change.

        Its own word is the mark to read up to: what stands before it is seen even where another training's open
        transaction holds readers back for a while. Raises InvalidData where the training was begun as another one.
        """
        begun, batches = None, dict[int, Batch]()
        [mark] = await transactions.commit([self._record(self._start, canonical_json(told))])
        async for record in self._until(mark):
            if record.key == self._start and record.value is not None and record.offset < mark:
                begun = self._state(record)
            elif record.key.startswith(f"{self._training_id}/batch/"):
                index = int(record.key.rpartition("/")[2])
                batches.pop(index, None)
                if record.value is not None:
                    batches[index] = Batch.model_validate_json(self._state(record))
        if begun is not None and begun != canonical_json(told):
            raise InvalidData(f"training {self._training_id} was begun as {begun}, now it is {canonical_json(told)}")
        return dict(sorted(batches.items()))

    def after(self, checkpoint: int, batches: dict[int, Batch]) -> list[Batch]:
        """Return the batches that a checkpoint does not hold; raise MissingData where some of them are gone."""
        later = {index: batch for index, batch in batches.items() if index >= checkpoint}
        expected = range(checkpoint, checkpoint + len(later))
        if list(later) != list(expected):
            raise MissingData(
                f"the checkpoint of training {self._training_id} ends before batch {checkpoint}, and the log has only "
                f"{min(later)} to {max(later)}: it is older than another one that was written; bring that one back"
            )
        self.next, self._first = expected.stop, min(batches, default=checkpoint)
        return list(later.values())

    def add(self, batch: Batch) -> Record:
        """Return the record of the next batch."""
        self.next += 1
        return self._record(self._key(self.next - 1), batch.model_dump_json())

    def forget(self) -> list[Record]:
        """Return the records that take away the batches that a checkpoint holds now: all so far."""
        gone = [self._record(self._key(index), None) for index in range(self._first, self.next)]
        self._first = self.next
        return gone

    @property
    def _start(self) -> str:
        return f"{self._training_id}/start"

    def _key(self, index: int) -> str:
        return f"{self._training_id}/batch/{index:012d}"

    def _record(self, key: str, state: str | None) -> Record:
        return saved(LEARNER, self._training_id, key, state, self._serde, self._clock.now())

    def _state(self, record: Received) -> str:
        message = self._serde.decode(record.value)
        assert isinstance(message, StateSaved)
        return message.state

    async def _until(self, mark: int) -> AsyncIterator[Received]:
        async with self._broker.reader(await self._broker.beginnings([PLACE])) as reader:
            idle = 0
            while reader.position(PLACE) <= mark:
                records = await reader.poll(_POLL_S)
                idle = 0 if records else idle + 1
                if idle > _IDLE_POLLS:
                    raise BrokerError(f"{PLACE.topic} was not read up to {mark}")
                for record in records:
                    yield record


def check_new(existed: bool, training_id: str) -> None:
    """Raise ConfigError where a training that is to begin was begun before."""
    if existed:
        raise ConfigError(f"training {training_id!r} was begun before: resume it, or give this one another name")
