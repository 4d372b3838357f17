"""Parameters of a strategy that a policy decides for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from agents.parameters import Parameters, parse_model
from streams.errors import ConfigError


class RlParameters(Parameters):
    """Parameters of a run that a policy decides for."""

    policy_id: str = Field(min_length=1)
    """The policy; its newest version decides."""
    version: int | None = Field(default=None, ge=1)
    """This version decides, whatever comes after it."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """The version with these weights decides, whatever comes after it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.version and self.sha256:
            raise ValueError("give version or sha256, not both")
        return self


def parse_parameters(raw: Mapping[str, Any]) -> RlParameters:
    """Return the parameters of an RL strategy; raise ConfigError for an unknown key or a value out of range."""
    if "policy_id" not in raw:
        raise ConfigError("an RL strategy names its policy: set the parameter policy_id")
    return parse_model(RlParameters, raw)
