"""Training over a broker: how it is paced, and the names under which actors and learner meet."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from schemas.state import StateSaved
from streams.broker import MAX_LETTER_BYTES, Broker, TopicConfig
from streams.errors import UnknownTopic
from streams.ids import derive_id
from streams.record import Envelope, Record
from streams.serde import Serde
from streams.topics import POLICIES, TRANSITIONS, changelog, dead_letters

ACTOR, LEARNER = "rl.actor", "rl.learner"
ID = r"^[A-Za-z0-9._-]{1,100}$"
"""What trainings and actors may be called: their names are parts of transactional ids."""
MAX_CHUNK_BYTES = 500_000
"""Rows of a chunk at most: a record may have twice that."""


class Streaming(BaseModel):
    """How a training over a broker is paced."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    chunk_transitions: int = Field(default=1000, ge=1)
    """Transitions of a chunk, in whole steps of all environments; fewer where they would pass 500 kB."""
    chunks_ahead: int = Field(default=2, ge=0)
    """Chunks of an actor that may wait for the learner; 0: it goes on when its last one has been learned from."""
    publish_every: int = Field(default=100, ge=1)
    """Gradient steps per policy version. Off-policy; on-policy every update makes one."""
    publish_every_s: float = Field(default=0.0, ge=0)
    """A version is published after this time, too, where anything was learned, s; 0: not."""
    max_policy_lag: int = Field(default=100, ge=1)
    """Chunks of a policy that is more versions old than this are left out. Off-policy."""
    checkpoint_every_s: float = Field(default=30.0, gt=0)
    """Time between checkpoints, s."""


def learner_task(training_id: str) -> str:
    """Return the transactional id of a training's learner, and the group of its offsets."""
    return f"{LEARNER}/{training_id}"


def actor_task(training_id: str, actor_id: str) -> str:
    """Return the transactional id of an actor."""
    return f"{ACTOR}/{training_id}/{actor_id}"


def actors_policy(training_id: str) -> str:
    """Return the policy_id of what a training's actors act by."""
    return f"{training_id}/actors"


async def create_topics(broker: Broker, partitions: int) -> None:
    """Create what trainings need and is not there yet; partitions: of rl.transitions."""
    wanted = {
        TRANSITIONS.name: TopicConfig(partitions),
        dead_letters(TRANSITIONS.name): TopicConfig(partitions, max_bytes=MAX_LETTER_BYTES),
        POLICIES.name: TopicConfig(1, compacted=True),
        dead_letters(POLICIES.name): TopicConfig(1, max_bytes=MAX_LETTER_BYTES),
        changelog(ACTOR): TopicConfig(1, compacted=True),
        changelog(LEARNER): TopicConfig(1, compacted=True),
    }
    await broker.create_topics(wanted)


async def partitions_of_transitions(broker: Broker) -> int:
    """Return how many partitions rl.transitions has; raise UnknownTopic where it is not there."""
    count = (await broker.topics()).get(TRANSITIONS.name)
    if count is None:
        raise UnknownTopic(f"Unknown topic {TRANSITIONS.name!r}: create the topics first")
    return count


def saved(pool: str, training_id: str, key: str, state: str | None, serde: Serde, now: int) -> Record:
    """Return a record of a changelog; a state that is None is forgotten."""
    if state is None:
        return Record(changelog(pool), key, None, (), 0, now // 1_000_000)
    envelope = Envelope(
        message_id=derive_id(training_id, pool, key, now),
        type=StateSaved.__name__,
        source=pool,
        ts_init=now,
        correlation_id=training_id,
        causation_id=training_id,
    )
    value = serde.encode(StateSaved(pool=pool, key=key, state=state))
    return Record(changelog(pool), key, value, envelope.headers(), 0, now // 1_000_000)
