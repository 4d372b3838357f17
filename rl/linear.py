"""A layer y = x W + b and its gradients, by whichever product the processor multiplies fastest with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

WIDE = 6144
"""Weights of a layer from which a kernel of its own pays; below it the call costs more than it saves (measured)."""


_Op = Callable[..., Tensor]


def _absent(*given: object) -> Tensor:
    raise NotImplementedError("this build of torch has no product of oneDNN to call")


_through_relu: _Op = torch.ops.aten.threshold_backward.default
_product: _Op = getattr(getattr(torch.ops.mkldnn, "_linear_pointwise", None), "default", _absent)
"""x, transposed weight, bias, activation; not of torch's public interface, so it is tried before it is used."""


class Linear:
    """Multiplies as torch does by default, in the type of its weights; any device.

    The four tensors are views of the network's flat vectors; weights have shape (inputs, outputs). What it is given and
    gives has the type `dtype`.
    """

    def __init__(self, weight: Tensor, bias: Tensor, weight_gradient: Tensor, bias_gradient: Tensor) -> None:
        self.weight = weight
        self.bias = bias
        self.weight_gradient = weight_gradient
        self.bias_gradient = bias_gradient
        self.dtype = weight.dtype
        self.x = weight
        """What the last forward pass was given, shape (n, inputs)."""
        self._transposed = weight.t()

    def forward(self, x: Tensor, rectify: bool) -> Tensor:
        """Return x W + b, shape (n, outputs), through a ReLU where rectify says so."""
        self.x = x
        y = torch.addmm(self.bias, x, self.weight)
        return y.relu_() if rectify else y

    def differentiate(self, g: Tensor) -> None:
        """Write the gradients of the weights and the bias; g is the loss's by the output, shape (n, outputs)."""
        torch.mm(self.x.t(), g, out=self.weight_gradient)
        torch.sum(g, 0, out=self.bias_gradient)

    def input_gradient(self, g: Tensor) -> Tensor:
        """Return the gradient by the input, shape (n, inputs)."""
        return torch.mm(g, self._transposed)

    def rectified_input_gradient(self, g: Tensor) -> Tensor:
        """Return the gradient by what the ReLU was given that made the input."""
        return _through_relu(self.input_gradient(g), self.x, 0)


class OneDNN(Linear):
    """Multiplies in float32 by oneDNN, on a CPU with AVX-512 up to twice as fast as the default library."""

    def forward(self, x: Tensor, rectify: bool) -> Tensor:
        """Return x W + b, bias and ReLU within the product."""
        self.x = x
        return _product(x, self._transposed, self.bias, "relu" if rectify else "none", [], "")

    def differentiate(self, g: Tensor) -> None:
        """Write the gradients of the weights and the bias."""
        self.weight_gradient.copy_(_product(self.x.t(), g.t(), None, "none", [], ""))
        torch.sum(g, 0, out=self.bias_gradient)

    def input_gradient(self, g: Tensor) -> Tensor:
        """Return the gradient by the input."""
        return _product(g, self.weight, None, "none", [], "")


class BFloat16(Linear):
    """Multiplies bfloat16 copies; sums are taken, and weights and gradients kept, in float32."""

    def __init__(self, *parts: Tensor) -> None:
        super().__init__(*parts)
        self.dtype = torch.bfloat16

    def forward(self, x: Tensor, rectify: bool) -> Tensor:
        """Return x W + b."""
        self.x = x
        self._copy = self.weight.to(torch.bfloat16)
        y = torch.addmm(self.bias.to(torch.bfloat16), x, self._copy)
        return y.relu_() if rectify else y

    def differentiate(self, g: Tensor) -> None:
        """Write the gradients of the weights and the bias."""
        self.weight_gradient.copy_(torch.mm(self.x.t(), g))
        torch.sum(g, 0, dtype=torch.float32, out=self.bias_gradient)

    def input_gradient(self, g: Tensor) -> Tensor:
        """Return the gradient by the input."""
        return torch.mm(g, self._copy.t())


def float32_kernel(device: torch.device) -> type[Linear]:
    """Return OneDNN where this build of torch has its product and it is right here, else Linear.

    It goes by what is there, not by time, so that the same machine always computes the same bits.
    """
    return OneDNN if device.type == "cpu" and _onednn_is_right() else Linear


@cache
def _onednn_is_right() -> bool:
    generator = torch.Generator().manual_seed(0)
    x, weight, g = (torch.randn(64, 64, generator=generator) for _ in range(3))
    results: list[list[Tensor]] = []
    for kernel in (Linear, OneDNN):
        layer = kernel(weight, weight[0], torch.empty(64, 64), torch.empty(64))
        try:
            told = [layer.forward(x, True), layer.input_gradient(g)]
            layer.differentiate(g)
        except (NotImplementedError, RuntimeError, TypeError):
            return False
        results.append([*told, layer.weight_gradient, layer.bias_gradient])
    return all(torch.allclose(ours, plain, rtol=1e-4, atol=1e-4) for plain, ours in zip(*results, strict=True))
