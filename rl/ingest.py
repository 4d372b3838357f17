"""Chunks of transitions off the log: read and checked, and each taken once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from rl.collector import Episode
from rl.rows import Float32, Layout
from schemas import TransitionsRecorded
from streams.errors import InvalidValues, Misplaced
from streams.record import Envelope, Received
from streams.serde import Serde

log = logging.getLogger("finagent.rl")
Verdict = Literal["fresh", "duplicate", "superseded"]


@dataclass(frozen=True)
class Chunk:
    """Transitions of one actor under one policy, and where they stand on the log."""

    actor_id: str
    epoch: int
    sequence: int
    policy_version: int
    rows: Float32
    """Shape (steps, environments, width), as rl.rows lays a row out; not writable."""
    episodes: tuple[Episode, ...]
    partition: int
    offset: int

    @property
    def transitions(self) -> int:
        """Return how many transitions it holds."""
        return int(self.rows.shape[0] * self.rows.shape[1])


def chunk_of(record: Received, serde: Serde, training_id: str, layout: Layout) -> Chunk | None:
    """Return the chunk that a record holds, None where it is of another training; raise DecodeError for a bad one."""
    if dict(record.headers).get("correlation_id", training_id.encode()) != training_id.encode():
        return None
    message = serde.decode(record.value)
    if not isinstance(message, TransitionsRecorded):
        raise Misplaced(f"{type(message).__name__} does not belong on {record.topic}")
    if message.training_id != training_id:
        return None
    Envelope.from_headers(record.headers)
    if record.key != message.actor_id:
        raise Misplaced(f"the key is {record.key!r}, the actor {message.actor_id!r}")
    return Chunk(
        message.actor_id,
        message.epoch,
        message.sequence,
        message.policy_version,
        _rows(message, layout),
        _episodes(message),
        record.partition,
        record.offset,
    )


def _rows(message: TransitionsRecorded, layout: Layout) -> Float32:
    sizes = (message.observation_size, message.action_size)
    if sizes != (layout.observation_size, layout.action_size):
        expected = (layout.observation_size, layout.action_size)
        raise InvalidValues(f"observations and actions have sizes {sizes}, expected {expected}")
    step = 4 * layout.width * message.environments
    if not message.rows or len(message.rows) % step:
        raise InvalidValues(f"rows have {len(message.rows)} bytes, expected a multiple of {step}")
    rows = np.frombuffer(message.rows, "<f4").reshape(-1, message.environments, layout.width)
    if not np.isfinite(rows).all():
        raise InvalidValues("a transition has a number that is not finite")
    ends = rows[:, :, layout.terminated :]
    if not ((ends == 0) | (ends == 1)).all():
        raise InvalidValues("terminated and truncated must be 0 or 1")
    return rows


def _episodes(message: TransitionsRecorded) -> tuple[Episode, ...]:
    rewards, steps = message.episode_rewards, message.episode_steps
    if len(rewards) != len(steps):
        raise InvalidValues(f"{len(rewards)} episode_rewards, but {len(steps)} episode_steps")
    return tuple(Episode(reward, length) for reward, length in zip(rewards, steps, strict=True))


@dataclass
class Intake:
    """What was taken of each actor; a chunk counts once, whatever its copies, and an old start of an actor never.

    An actor's chunks stand in one partition in the order of (epoch, sequence).
    """

    next: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Epoch and sequence of the chunk that is expected, by actor_id."""
    counts: dict[str, int] = field(default_factory=dict)
    """Chunks taken, and left out by the reason: duplicate, superseded, stale, malformed; missing: those of gaps."""

    def verdict(self, chunk: Chunk) -> Verdict:
        """Return whether a chunk is new, was there before, or comes from a start that another one has followed."""
        epoch, sequence = self.next.get(chunk.actor_id, (-1, 0))
        if chunk.epoch < epoch:
            return "superseded"
        return "duplicate" if chunk.epoch == epoch and chunk.sequence < sequence else "fresh"

    def gap(self, chunk: Chunk) -> int:
        """Return how many chunks are missing before a fresh one."""
        epoch, sequence = self.next.get(chunk.actor_id, (-1, 0))
        return chunk.sequence - (sequence if chunk.epoch == epoch else 0)

    def take(self, chunk: Chunk) -> bool:
        """Note a chunk and say whether it is fresh; copies and gaps are counted and said."""
        verdict = self.verdict(chunk)
        name = f"chunk {chunk.sequence} of {chunk.actor_id}'s start {chunk.epoch}"
        if verdict != "fresh":
            self.count(verdict)
            log.warning("%s is left out: it is a %s, or came out of order", name, verdict)
            return False
        if missing := self.gap(chunk):
            self.count("missing", missing)
            log.warning("%d chunks are missing before %s", missing, name)
        self.next[chunk.actor_id] = (chunk.epoch, chunk.sequence + 1)
        return True

    def count(self, what: str, number: int = 1) -> None:
        """Count chunks."""
        self.counts[what] = self.counts.get(what, 0) + number

    def state(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"next": {actor: list(at) for actor, at in self.next.items()}, "counts": dict(self.counts)}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Intake:
        """Return what state gave."""
        return cls({actor: (at[0], at[1]) for actor, at in state["next"].items()}, dict(state["counts"]))
