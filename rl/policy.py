"""A policy: a small network in numpy, so that pools and actors decide without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np

from rl.config import RLAlgorithm
from rl.rows import Float32
from rl.weights import pack, sha256, unpack
from streams.errors import InvalidData

KIND = "finagent.policy.v1"
Head = Literal["tanh", "squashed_gaussian", "gaussian"]
LOG_STD_RANGE = (-20.0, 2.0)
"""What the logarithm of a squashed Gaussian's standard deviation is clipped to (SAC, appendix D)."""


@dataclass(frozen=True)
class Policy:
    """An actor: observations to actions.

    Layers are (weight (inputs, outputs), bias (outputs,)); the last one is the head. Heads: tanh, a deterministic
    action with noise for exploring (TD3, DDPG); squashed_gaussian, whose last layer gives mean and log standard
    deviation (SAC); gaussian, with log_std of its own (PPO, A2C).
    """

    algorithm: RLAlgorithm
    layers: tuple[tuple[Float32, Float32], ...]
    low: Float32
    """Lower bounds of the environment's actions, shape (actions,)."""
    high: Float32
    """Upper bounds."""
    head: Head = "tanh"
    activation: Literal["relu", "tanh"] = "relu"
    noise: float = 0.0
    """Standard deviation of the noise for exploring with a tanh head."""
    log_std: Float32 | None = None
    """Of a gaussian head, shape (actions,)."""
    mean: Float32 | None = None
    """Subtracted from observations, shape (observations,); none: nothing is."""
    std: Float32 | None = None
    """What they are divided by then."""

    @property
    def observation_size(self) -> int:
        """Return the length of an observation."""
        return int(self.layers[0][0].shape[0])

    @property
    def action_size(self) -> int:
        """Return the number of actions."""
        return int(self.low.shape[0])

    def act(self, observations: Float32) -> Float32:
        """Return the best actions within the bounds for observations of shape (n, observations)."""
        out = self._forward(observations)
        mean = out[:, : self.action_size]
        return self.bounded(mean if self.head == "gaussian" else np.tanh(mean))

    def explore(self, observations: Float32, rng: np.random.Generator) -> Float32:
        """Return drawn actions, shape (n, actions), not yet clipped to [-1, 1] nor scaled to the bounds."""
        out, size = self._forward(observations), self.action_size
        drawn = rng.standard_normal((len(out), size), dtype=np.float32)
        if self.head == "tanh":
            noisy: Float32 = np.clip(np.tanh(out) + np.float32(self.noise) * drawn, -1, 1)
            return noisy
        if self.head == "squashed_gaussian":
            std = np.exp(np.clip(out[:, size:], *LOG_STD_RANGE)).astype(np.float32, copy=False)
            squashed: Float32 = np.tanh(out[:, :size] + std * drawn)
            return squashed
        assert self.log_std is not None
        free: Float32 = out + np.exp(self.log_std) * drawn
        return free

    def bounded(self, drawn: Float32) -> Float32:
        """Return actions for the environment: clipped to [-1, 1], then scaled to the bounds."""
        unit = (np.clip(drawn, -1, 1) + 1) / 2
        return (self.low + unit * (self.high - self.low)).astype(np.float32, copy=False)

    def _forward(self, observations: Float32) -> Float32:
        x = observations
        if self.mean is not None and self.std is not None:
            x = np.clip((x - self.mean) / self.std, -10, 10)
        for weight, bias in self.layers[:-1]:
            x = x @ weight + bias
            x = np.maximum(x, 0) if self.activation == "relu" else np.tanh(x)
        weight, bias = self.layers[-1]
        out: Float32 = x @ weight + bias
        return out

    def copy(self) -> Self:
        """Return a policy with arrays of its own; a learner's live policy shares its weights."""
        return replace(
            self,
            layers=tuple((weight.copy(), bias.copy()) for weight, bias in self.layers),
            **{name: array.copy() for name in ("log_std", "mean", "std") if (array := getattr(self, name)) is not None},
        )

    def pack(self, metadata: Mapping[str, Any] | None = None) -> bytes:
        """Return the policy as bytes, with metadata beside it."""
        arrays = {"low": self.low, "high": self.high}
        for index, (weight, bias) in enumerate(self.layers):
            arrays |= {f"weight.{index}": weight, f"bias.{index}": bias}
        arrays |= {name: array for name in ("log_std", "mean", "std") if (array := getattr(self, name)) is not None}
        own = {"algorithm": self.algorithm, "head": self.head, "activation": self.activation, "noise": self.noise}
        return pack(KIND, arrays, {**own, "layers": len(self.layers), "metadata": dict(metadata or {})})

    @classmethod
    def unpack(cls, data: bytes, digest: str | None = None) -> tuple[Self, dict[str, Any]]:
        """Return a policy and its metadata; digest: the SHA-256 that the bytes must have.

        Raises InvalidData for bytes that were changed, are foreign, or hold weights that do not fit or are not finite.
        """
        arrays, told = unpack(KIND, data, digest or sha256(data))
        try:
            policy = cls(
                algorithm=RLAlgorithm(told["algorithm"]),
                layers=tuple((arrays[f"weight.{n}"], arrays[f"bias.{n}"]) for n in range(told["layers"])),
                low=arrays["low"],
                high=arrays["high"],
                head=told["head"],
                activation=told["activation"],
                noise=told["noise"],
                **{name: arrays.get(name) for name in ("log_std", "mean", "std")},
            )
            policy.check(arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidData(f"{KIND}: {error}") from error
        return policy, dict(told["metadata"])

    def check(self, arrays: Mapping[str, Any]) -> None:
        """Raise InvalidData where shapes do not fit or a number is not finite."""
        outputs = self.action_size * (2 if self.head == "squashed_gaussian" else 1)
        sizes = [weight.shape for weight, _ in self.layers]
        fit = all(before[1] == after[0] for before, after in pairwise(sizes))
        if not sizes or not fit or sizes[-1][1] != outputs:
            raise InvalidData(f"{KIND}: layers {sizes} do not give {outputs} outputs")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise InvalidData(f"{KIND}: a weight is not finite")
