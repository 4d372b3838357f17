"""Transitions: what actors live through, and learners learn from."""

from __future__ import annotations

from pydantic import Field

from schemas.message import Id, Message, Nanoseconds


class TransitionsRecorded(Message):
    """A chunk of one actor's transitions.

    (actor_id, epoch, sequence) names it: a learner takes each once.
    """

    training_id: Id
    """The training that they are for."""
    actor_id: Id
    """The actor."""
    epoch: int = Field(ge=0, lt=2**63)
    """Counts the actor's starts."""
    sequence: int = Field(ge=0, lt=2**63)
    """Counts its chunks since that start, from 0."""
    policy_version: int = Field(ge=0, lt=2**63)
    """The version of the policy that acted; 0: uniformly random actions."""
    environments: int = Field(ge=1, le=1_000_000)
    """Environments that were stepped at once; rows go through them within a step, then through the steps."""
    observation_size: int = Field(ge=1, le=1_000_000)
    """Numbers of an observation."""
    action_size: int = Field(ge=1, le=1_000_000)
    """Numbers of an action."""
    rows: bytes = Field(repr=False)
    """float32, little-endian, row by row: observation, action in [-1, 1] as it was drawn, reward, next observation,
    terminated, truncated (0 or 1)."""
    episode_rewards: tuple[float, ...] = ()
    """Sums of the rewards of the episodes that ended in it."""
    episode_steps: tuple[int, ...] = ()
    """Their lengths."""
    ts_event: Nanoseconds
    """When the last of them happened, ns UTC."""
