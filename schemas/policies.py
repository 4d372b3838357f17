"""Policies: what training leaves behind for the pools that decide by it."""

from __future__ import annotations

import hashlib
from typing import Self

from pydantic import Field, model_validator

from schemas.message import Id, JsonObject, Message, Nanoseconds

SERVING = "serving"
"""True in the metadata of a policy that may decide for runs."""


class PolicyInForce(Message):
    """Which version of a policy decides in a slice."""

    policy_id: Id
    """The policy."""
    version: int = Field(ge=1, lt=2**63)
    """Its version."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of that version's weights, in hexadecimal."""


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

    @property
    def serving(self) -> bool:
        """Tell whether it may decide for runs; what training publishes for its actors may not."""
        return self.metadata.get(SERVING) is True

    def in_force(self) -> PolicyInForce:
        """Return how a slice names it."""
        return PolicyInForce(policy_id=self.policy_id, version=self.version, sha256=self.sha256)

    @model_validator(mode="after")
    def _check(self) -> Self:
        found = hashlib.sha256(self.weights).hexdigest()
        if found != self.sha256:
            raise ValueError(f"weights have SHA-256 {found}, expected {self.sha256}: they were changed")
        return self
