"""The actor and the critic of PPO and A2C: networks of one shape, computed together, with gradients by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

HIDDEN_GAIN, ACTOR_GAIN, CRITIC_GAIN = math.sqrt(2), 0.01, 1.0
"""Of the orthogonal initialisation, as stable-baselines3 has them."""


class ActorCritic:
    """A Gaussian actor with a log standard deviation of its own, and a critic; nothing is shared but the shape.

    Both are stacked, the actor first: one batched product a layer. All parameters lie in one vector, and so do their
    gradients. At 64 units the calls cost more than the products: autograd alone would double their number.
    """

    def __init__(
        self,
        observations: int,
        actions: int,
        hidden: tuple[int, ...],
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        stacked = [shape for i, o in pairwise((observations, *hidden)) for shape in ((2, i, o), (2, 1, o))]
        shapes = [*stacked, (hidden[-1], actions), (actions,), (hidden[-1],), (1,), (actions,)]
        size = sum(math.prod(shape) for shape in shapes)
        self.parameters = torch.zeros(size, device=device, dtype=dtype)
        self.gradients = torch.zeros_like(self.parameters)
        *self.hidden, self.head = _views(self.parameters, shapes)
        *self._hidden_gradients, self._head_gradients = _views(self.gradients, shapes)
        self.log_std = self.head[-1]
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator) -> None:
        actor, _, critic, *_ = self.head
        weights = [(half, HIDDEN_GAIN) for weight, _ in self.hidden for half in weight]
        for weight, gain in (*weights, (actor, ACTOR_GAIN), (critic[:, None], CRITIC_GAIN)):
            drawn = torch.empty(weight.shape)
            weight.copy_(torch.nn.init.orthogonal_(drawn, gain, generator))

    def forward(self, observations: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return each layer's inputs (2, B, n), mean actions (B, actions) and values (B,); observations are (B, n)."""
        x = observations.expand(2, *observations.shape)
        inputs = [x]
        for weight, bias in self.hidden:
            # tanh(z) is 2 sigmoid(2 z) - 1, and torch's sigmoid is several times as fast as its tanh.
            x = torch.baddbmm(bias, x, weight, beta=2, alpha=2).sigmoid_().mul_(2).sub_(1)
            inputs.append(x)
        actor, actor_bias, critic, critic_bias, _ = self.head
        return inputs, torch.addmm(actor_bias, x[0], actor), torch.addmv(critic_bias, x[1], critic)

    def backward(self, inputs: list[Tensor], d_mean: Tensor, d_values: Tensor, d_log_std: Tensor) -> None:
        """Write the gradients of a loss, given those by mean actions (B, actions), values (B,) and log_std."""
        actor, actor_bias, critic, critic_bias, log_std = self._head_gradients
        x = inputs[-1]
        torch.mm(x[0].T, d_mean, out=actor)
        torch.sum(d_mean, 0, out=actor_bias)
        torch.mv(x[1].T, d_values, out=critic)
        torch.sum(d_values, 0, keepdim=True, out=critic_bias)
        log_std.copy_(d_log_std)
        d = torch.empty_like(x)  # (2, B, units)
        torch.mm(d_mean, self.head[0].T, out=d[0])
        torch.outer(d_values, self.head[2], out=d[1])
        for layer in reversed(range(len(self.hidden))):
            x = inputs[layer + 1]
            d.addcmul_(d * x, x, value=-1)  # tanh' is 1 - tanh^2
            weight, bias = self._hidden_gradients[layer]
            torch.bmm(inputs[layer].transpose(1, 2), d, out=weight)
            torch.sum(d, 1, keepdim=True, out=bias)
            if layer:
                d = torch.bmm(d, self.hidden[layer][0].transpose(1, 2))

    def layers(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Return the actor's weights (inputs, outputs) and biases (outputs,), layer by layer; views."""
        return (*((weight[0], bias[0, 0]) for weight, bias in self.hidden), (self.head[0], self.head[1]))


def _views(vector: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[tuple[Tensor, ...]]:
    """Return the parts of a vector: weight and bias of each hidden layer, then the five of the heads."""
    parts = torch.split(vector, [math.prod(shape) for shape in shapes])
    views = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
    hidden = [(views[n], views[n + 1]) for n in range(0, len(views) - 5, 2)]
    return [*hidden, tuple(views[-5:])]


def log_probabilities(actions: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Return log densities (B,) of actions (B, n) under a Gaussian with independent parts."""
    z = (actions - mean) * torch.exp(-log_std)
    return (z * z).sum(1).mul_(-0.5).sub_(log_std.sum() + 0.5 * math.log(2 * math.pi) * len(log_std))


def entropy(log_std: Tensor) -> Tensor:
    """Return that Gaussian's entropy."""
    return log_std.sum() + 0.5 * math.log(2 * math.pi * math.e) * len(log_std)
