"""Builds a learner's replay buffer again from the topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from rl.ingest import Chunk, chunk_of
from rl.learner_state import LearnerState, Plan
from rl.learning import OffPolicyLearning
from rl.segments import chained, reread
from streams.broker import Broker
from streams.errors import DecodeError, InvalidData
from streams.serde import Serde


async def rebuild(state: LearnerState, inserted: int, broker: Broker, serde: Serde) -> None:
    """Insert the rows of the state's segments, so that the buffer is what it was after so many.

    Raises MissingData where the topic no longer has them, InvalidData where they are not those that were inserted.
    """
    assert isinstance(state.learning, OffPolicyLearning)
    segments, learning = list(state.segments), state.learning
    learning.replay.inserted = inserted - state.segments.rows
    digests, rows = [""] * len(segments), [0] * len(segments)
    spans = [(segment.partition, segment.start, segment.end) for segment in segments]
    async for index, chunk in chunks(broker, serde, state.plan, spans):
        learning.take(chunk)
        digests[index] = chained(digests[index], chunk.rows.data.cast("B"))
        rows[index] += chunk.transitions
    for segment, digest, count in zip(segments, digests, rows, strict=True):
        if (digest, count) != (segment.digest, segment.rows):
            raise InvalidData(
                f"offsets {segment.start} to {segment.end} of partition {segment.partition} have {count} transitions, "
                f"expected the {segment.rows} that were learned from: the topic is not the one that it was"
            )


async def chunks(
    broker: Broker, serde: Serde, plan: Plan, spans: Sequence[tuple[int, int, int]]
) -> AsyncIterator[tuple[int, Chunk]]:
    """Yield the chunks of spans (partition, start, end), each with the index of its span; all were taken before."""
    async for index, record in reread(broker, spans):
        await serde.learn([record.value])
        try:
            chunk = chunk_of(record, serde, plan.training_id, plan.layout)
        except DecodeError as error:
            raise InvalidData(f"{record.place} was learned from, and is not what it was: {error}") from error
        if chunk is None:
            raise InvalidData(f"{record.place} was learned from, and is of another training")
        yield index, chunk
