"""Networks of linear layers with ReLU between them, their gradients by hand, in flat vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from rl.linear import WIDE, Linear
from rl.rows import Float32
from rl.weights import Arrays
from streams.errors import InvalidData


class Network:
    """One network; its weights and gradients are views of vectors that are given, its output stays float32.

    A forward pass is kept until the next one; gradients are of the last.
    """

    def __init__(self, sizes: Sequence[int], values: Tensor, gradients: Tensor, kernel: type[Linear]) -> None:
        self.layers: list[Linear] = []
        start = 0
        for number, (inputs, outputs) in enumerate(pairwise(sizes), start=2):
            middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
            hidden = number < len(sizes)
            chosen = kernel if hidden and inputs * outputs >= WIDE else Linear
            parts = [
                part
                for vector in (values, gradients)
                for part in (vector[start:middle].view(inputs, outputs), vector[middle:end])
            ]
            self.layers.append(chosen(*parts))
            start = end

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, shape (n, outputs), for inputs of shape (n, inputs)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = layer.forward(x.to(layer.dtype), True)
        return last.forward(x.to(last.dtype), False)

    def differentiate(self, g: Tensor) -> None:
        """Write the gradients of all weights; g is the loss's by the output, shape (n, outputs)."""
        first, *others = self.layers
        for layer in reversed(others):
            g = g.to(layer.dtype)
            layer.differentiate(g)
            g = layer.rectified_input_gradient(g)
        first.differentiate(g.to(first.dtype))

    def input_gradient(self, g: Tensor) -> Tensor:
        """Return the gradient by the inputs, shape (n, inputs); weights are taken as constant."""
        first, *others = self.layers
        for layer in reversed(others):
            g = layer.rectified_input_gradient(g.to(layer.dtype))
        return first.input_gradient(g.to(first.dtype)).to(first.weight.dtype)

    def arrays(self) -> tuple[tuple[Float32, Float32], ...]:
        """Return weights and biases; on the CPU they are the network's own memory."""
        return tuple((layer.weight.cpu().numpy(), layer.bias.cpu().numpy()) for layer in self.layers)


class Vector:
    """Numbers that are learned, flat."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def follow(self, others: Vector, tau: float) -> None:
        """Move by the share tau towards others: Polyak averaging."""
        self.values.lerp_(others.values, tau)

    def state(self) -> Arrays:
        """Return the numbers."""
        return {"values": self.values.cpu().numpy().copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take numbers back; raise InvalidData where they do not fit."""
        copy_into(self.values, state["values"])


class Networks(Vector):
    """One or more networks of one shape, in one flat vector of weights and one of gradients."""

    def __init__(self, count: int, sizes: Sequence[int], *, like: Tensor, kernel: type[Linear]) -> None:
        size = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
        super().__init__(like.new_zeros(count * size))
        self.gradients = like.new_zeros(count * size)
        """In the order of the values; both have the type and the device of `like`."""
        parts = zip(self.values.view(count, size), self.gradients.view(count, size), strict=True)
        self.members = tuple(Network(sizes, values, gradients, kernel) for values, gradients in parts)

    def draw(self, generator: torch.Generator) -> None:
        """Draw weights and biases from +-1/sqrt(inputs), as torch's own linear layers are."""
        for member in self.members:
            for layer in member.layers:
                bound = len(layer.weight) ** -0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)


def copy_into(tensor: Tensor, array: Any) -> None:
    """Copy an array of a state into a tensor; raise InvalidData where shape or type differ."""
    found = torch.from_numpy(array.copy())
    if found.shape != tensor.shape or found.dtype != tensor.dtype:
        raise InvalidData(
            f"the state has {found.dtype} {tuple(found.shape)}, expected {tensor.dtype} {tuple(tensor.shape)}"
        )
    tensor.copy_(found)
