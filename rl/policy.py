"""A policy: a small network in numpy, so that pools and actors decide without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Self, get_args

import numpy as np

from rl.config import RLAlgorithm
from rl.rows import Float32
from rl.weights import pack, sha256, unpack
from streams.errors import InvalidData

KIND = "finagent.policy.v1"
Head = Literal["tanh", "squashed_gaussian", "gaussian"]
Activation = Literal["relu", "tanh"]
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
    activation: Activation = "relu"
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
            std = np.asarray(np.exp(np.clip(out[:, size:], *LOG_STD_RANGE)), np.float32)
            squashed: Float32 = np.tanh(out[:, :size] + std * drawn)
            return squashed
        assert self.log_std is not None
        return np.asarray(out + np.exp(self.log_std) * drawn, np.float32)

    def bounded(self, drawn: Float32) -> Float32:
        """Return actions for the environment: clipped to [-1, 1], then scaled to the bounds."""
        unit = _clipped(drawn, 1)
        unit += 1
        unit /= 2
        unit *= self.high - self.low
        unit += self.low
        return unit

    def _forward(self, observations: Float32) -> Float32:
        x = observations
        if self.mean is not None and self.std is not None:
            x = _clipped((x - self.mean) / self.std, 10)
        last = len(self.layers) - 1
        for index, (weight, bias) in enumerate(self.layers):
            x = x @ weight
            x += bias
            if index < last:
                # In place: a decision of one row costs what numpy's calls cost.
                x = np.maximum(x, 0, out=x) if self.activation == "relu" else np.tanh(x, out=x)
        return x

    @property
    def finite(self) -> bool:
        """Tell whether its weights are numbers still, none beyond the square root of what a float32 holds."""
        return all(np.isfinite(np.vdot(weight, weight)) for layer in self.layers for weight in layer)

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
            metadata = dict(told["metadata"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InvalidData(f"{KIND}: {error}") from error
        return policy, metadata

    def check(self, arrays: Mapping[str, Any]) -> None:
        """Raise InvalidData for an unknown head or activation, shapes that do not fit, numbers that are not finite."""
        if self.head not in get_args(Head) or self.activation not in get_args(Activation):
            raise InvalidData(f"{KIND}: unknown head {self.head!r} or activation {self.activation!r}")
        wrong = [name for name, array in arrays.items() if array.dtype != np.float32 or not np.isfinite(array).all()]
        if wrong or not np.isfinite(self.noise):
            raise InvalidData(f"{KIND}: {', '.join(wrong) or 'noise'} is not of finite float32 numbers")
        outputs = self.action_size * (2 if self.head == "squashed_gaussian" else 1)
        sizes = [weight.shape for weight, _ in self.layers]
        fit = all(before[1] == after[0] for before, after in pairwise(sizes))
        biased = all(bias.shape == weight.shape[1:] for weight, bias in self.layers)
        if not sizes or not fit or not biased or sizes[-1][1] != outputs:
            raise InvalidData(f"{KIND}: layers {sizes} do not give {outputs} outputs")
        self._check_bounds()

    def _check_bounds(self) -> None:
        actions, seen = (self.action_size,), (self.observation_size,)
        wanted = {"low": actions, "high": actions, "mean": seen, "std": seen, "log_std": actions}
        found = {name: array for name in wanted if (array := getattr(self, name)) is not None}
        fit = all(array.shape == wanted[name] for name, array in found.items())
        paired = ("mean" in found) == ("std" in found) and ("log_std" in found) == (self.head == "gaussian")
        if not fit or not paired or not (self.low < self.high).all() or ("std" in found and (found["std"] <= 0).any()):
            raise InvalidData(f"{KIND}: bounds, log_std, mean or std do not fit {actions[0]} actions, {seen[0]} inputs")


def _clipped(values: Float32, limit: float) -> Float32:
    """Return values cut to +-limit; np.clip takes several times as long on a few of them."""
    within: Float32 = np.maximum(values, -limit)
    return np.minimum(within, limit, out=within)
