"""Layers by each kernel beside autograd, Adam beside torch's, and what computing() leaves behind."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from rl import linear, precision
from rl.config import RLConfiguration
from rl.linear import BFloat16, Linear, OneDNN, float32_kernel
from rl.networks import Networks
from rl.optimiser import Adam, limit
from rl.precision import computing, kernel
from streams.errors import InvalidData

CPU = torch.device("cpu")
SHAPES = [(100, 80), (64, 200), (3, 7)]


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def kernels() -> list[tuple[type[Linear], torch.dtype, float]]:
    found: list[tuple[type[Linear], torch.dtype, float]] = [
        (Linear, torch.float64, 1e-12),
        (Linear, torch.float32, 1e-5),
    ]
    if float32_kernel(CPU) is OneDNN:
        found.append((OneDNN, torch.float32, 1e-5))
    return [*found, (BFloat16, torch.float32, 2e-2)]


@pytest.mark.parametrize(("kind", "dtype", "tolerance"), kernels())
@pytest.mark.parametrize(("inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("rectify", [True, False])
def test_a_layer_and_its_gradients(
    kind: type[Linear], dtype: torch.dtype, tolerance: float, inputs: int, outputs: int, rectify: bool
) -> None:
    weight, bias = drawn(inputs, outputs, dtype=dtype) / inputs**0.5, drawn(outputs, dtype=dtype)
    layer = kind(weight, bias, torch.empty_like(weight), torch.empty_like(bias))
    columns = drawn(50, 2 * inputs, dtype=dtype)[:, :inputs].relu()  # as a batch's columns lie
    g = drawn(50, outputs, dtype=dtype)

    exact = [part.double().clone().requires_grad_() for part in (columns, weight, bias)]
    y = exact[0] @ exact[1] + exact[2]
    found = layer.forward(columns.to(layer.dtype), rectify)
    got = g * (found > 0) if rectify else g
    y.backward(got.double())
    expected = y.relu() if rectify else y
    layer.differentiate(got.to(layer.dtype))
    pairs = [
        (found, expected),
        (layer.weight_gradient, exact[1].grad),
        (layer.bias_gradient, exact[2].grad),
        (layer.input_gradient(got.to(layer.dtype)), exact[0].grad),
        (layer.rectified_input_gradient(got.to(layer.dtype)), exact[0].grad * (columns > 0)),
    ]
    for ours, right in pairs:
        assert right is not None
        difference = (ours.double() - right).abs().max() / right.abs().max()
        assert difference < tolerance
    assert layer.weight_gradient.dtype == dtype


@pytest.mark.parametrize("kind", [Linear, OneDNN, BFloat16])
def test_only_wide_hidden_layers_take_the_kernel(kind: type[Linear]) -> None:
    members = Networks(2, (4, 128, 96, 90), like=torch.empty(0), kernel=kind).members
    assert [type(layer) for layer in members[1].layers] == [Linear, kind, Linear]


def test_another_build_of_torch_falls_back_to_its_own_products(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*given: object) -> None:
        raise RuntimeError("could not create a primitive descriptor")

    def wrong(x: torch.Tensor, weight: torch.Tensor, *given: object) -> torch.Tensor:
        return 1.01 * (x @ weight.t())

    for product in (linear._absent, missing, wrong):
        linear._onednn_is_right.cache_clear()
        monkeypatch.setattr(linear, "_product", product)
        assert float32_kernel(CPU) is Linear
    monkeypatch.undo()
    linear._onednn_is_right.cache_clear()
    assert float32_kernel(torch.device("cuda")) is Linear


@pytest.mark.parametrize(("gains", "chosen"), [(True, BFloat16), (False, float32_kernel(CPU))])
def test_auto_takes_the_faster_kernel(gains: bool, chosen: type[Linear], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_gains", lambda *given: gains)
    precision._faster.cache_clear()
    assert kernel(RLConfiguration(precision="auto"), torch.float32) is chosen
    assert kernel(RLConfiguration(precision="fp32"), torch.float32) is float32_kernel(CPU)
    assert kernel(RLConfiguration(precision="auto"), torch.float64) is Linear
    precision._faster.cache_clear()


def test_what_gains_is_measured() -> None:
    x = torch.ones(300, 300)
    assert precision._gains("cpu", lambda: [x @ x for _ in range(8)] and None, lambda: None)
    assert not precision._gains("cpu", lambda: None, lambda: [x @ x for _ in range(8)] and None)


@pytest.mark.parametrize("name", ["TD3", "PPO"])
@pytest.mark.parametrize("wanted", ["fp32", "auto"])
def test_computing_leaves_nothing_behind(name: str, wanted: str) -> None:
    threads, before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with suppress(ZeroDivisionError), computing(RLConfiguration(algorithm=name, precision=wanted, threads=2)):
            assert torch.get_num_threads() == 2
            expected = precision.fastest("cpu") if (name, wanted) == ("PPO", "auto") else "highest"
            assert torch.get_float32_matmul_precision() == expected
            raise ZeroDivisionError
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_num_threads() == threads
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam_is_that_of_torch(dtype: torch.dtype) -> None:
    ours, theirs = drawn(1000, dtype=dtype), nn.Parameter(drawn(1000, dtype=dtype))
    adam, reference = Adam(ours, 0.01, eps=1e-5), torch.optim.Adam([theirs], 0.01, eps=1e-5)
    for number in range(20):
        gradient = drawn(1000 + number, dtype=dtype)[:1000] * (0 if number == 5 else 1)
        adam.step(gradient)
        theirs.grad = gradient.clone()
        reference.step()
    np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_adam_goes_on_from_a_state() -> None:
    one = drawn(50)
    adam = Adam(one, 0.01)
    adam.step(drawn(50))
    other = one.clone()
    again = Adam(other, 0.01)
    again.restore(adam.state())
    for each in (adam, again):
        each.step(drawn(51)[:50])
    assert torch.equal(one, other)
    with pytest.raises(InvalidData, match="50"):
        Adam(torch.zeros(49), 0.01).restore(adam.state())


@pytest.mark.parametrize("bound", [0.0, 0.5, 1e6])
def test_gradients_are_limited_as_torch_limits_them(bound: float) -> None:
    ours, theirs = drawn(40), nn.Parameter(torch.zeros(40))
    theirs.grad = drawn(40)
    norm = limit(ours, bound)
    expected = nn.utils.clip_grad_norm_([theirs], bound) if bound else theirs.grad.norm()
    assert float(norm) == pytest.approx(float(expected))
    np.testing.assert_allclose(ours, theirs.grad, rtol=1e-6)
