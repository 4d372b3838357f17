"""Policies: what training leaves behind for the pools that decide by it."""

from __future__ import annotations

from pydantic import Field

from schemas.message import Id, JsonObject, Message, Nanoseconds


class PolicyPublished(Message):
    """A trained policy, whole."""

    policy_id: Id
    """Names the policy; a new version replaces the last."""
    version: int = Field(ge=1, lt=2**63)
    """Counts up from 1."""
    algorithm: Id
    """How it was trained, for example TD3."""
    training_id: Id
    """The training that made it."""
    weights: bytes = Field(repr=False)
    """Its parameters, in the format that metadata names; never a pickle."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the weights, in hexadecimal."""
    metadata: JsonObject = Field(default_factory=dict)
    """What a reader must know to use it, and the figures of its evaluation."""
    ts_event: Nanoseconds
    """When it was published, ns UTC."""
