"""Adam (Kingma and Ba 2015) on one flat vector, in one pass over memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rl.networks import copy_into
from rl.weights import Arrays

BETAS = (0.9, 0.999)
"""Decay of the running mean of gradients and of their squares."""


class Adam:
    """Changes a vector of parameters in place."""

    def __init__(self, parameters: Tensor, learning_rate: float, *, eps: float = 1e-8) -> None:
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.eps = eps
        self._mean = torch.zeros_like(parameters)
        self._square = torch.zeros_like(parameters)
        self._steps = torch.zeros(1, dtype=torch.float32, device=parameters.device)

    def step(self, gradient: Tensor) -> None:
        """Move the parameters against the gradient."""
        self._steps += 1
        torch._fused_adam_(
            [self.parameters],
            [gradient],
            [self._mean],
            [self._square],
            [],
            [self._steps],
            lr=self.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> Arrays:
        """Return all but the parameters."""
        parts = {"mean": self._mean, "square": self._square, "steps": self._steps}
        return {name: part.cpu().numpy().copy() for name, part in parts.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a state back; raise InvalidData where it does not fit."""
        copy_into(self._mean, state["mean"])
        copy_into(self._square, state["square"])
        copy_into(self._steps, state["steps"])


def limit(gradient: Tensor, bound: float) -> Tensor:
    """Scale a gradient down to a norm of at most bound, 0: not; return the norm that it had, as a tensor."""
    norm: Tensor = torch.linalg.vector_norm(gradient)
    if bound:
        gradient.mul_((bound / (norm + 1e-6)).clamp_(max=1.0))
    return norm
