"""How torch computes while a training runs; nothing of it stays behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from rl.config import RLConfiguration
from streams.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from rl.linear import Linear

GAIN = 1.1
"""How many times faster a lower precision must be to be taken: noise must not decide."""
ROUNDS = 30
"""Of a measurement; the fastest counts."""


@contextmanager
def computing(config: RLConfiguration) -> Iterator[None]:
    """Set threads and matmul precision as configured, and put back what was there."""
    import torch

    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(config.threads)
    try:
        torch.set_float32_matmul_precision(_of_products(config))
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


def _of_products(config: RLConfiguration) -> str:
    """Return the precision of torch's own products; off-policy learning on a CPU has kernels of its own (rl.linear)."""
    if config.precision == "fp32" or (config.algorithm.off_policy and config.device == "cpu"):
        return "highest"
    return fastest(config.device)


def device_of(config: RLConfiguration) -> torch.device:
    """Return the device that is configured; raise ConfigError where it is not there."""
    import torch

    device = torch.device(config.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {config.device}: torch {torch.__version__} sees {torch.cuda.device_count()} of them")
    return device


def kernel(config: RLConfiguration, dtype: torch.dtype) -> type[Linear]:
    """Return what hidden layers multiply by: with precision auto the fastest, else the fastest of full precision."""
    import torch

    from rl.linear import Linear, float32_kernel

    if dtype != torch.float32:
        return Linear
    device = device_of(config)
    full = float32_kernel(device)
    return _faster(full.__name__) if config.precision == "auto" and device.type == "cpu" else full


@cache
def fastest(device: str) -> str:
    """Return the precision that torch's own products of float32 are fastest with: "highest", unless "medium" is."""
    import torch

    before = torch.get_float32_matmul_precision()
    a = torch.ones(256, 256, device=device)

    def multiply(precision: str) -> None:
        torch.set_float32_matmul_precision(precision)
        (a @ a)[0, 0].item()

    try:
        return "medium" if _gains(device, lambda: multiply("highest"), lambda: multiply("medium")) else "highest"
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def _faster(full: str) -> type[Linear]:
    """Return BFloat16 where this processor passes a network forth and back faster by it, else the named kernel."""
    import torch

    from rl import linear
    from rl.networks import Networks

    x = torch.ones(256, 16)

    def learning(kind: type[Linear]) -> Callable[[], None]:
        network = Networks(1, (16, 256, 256, 1), like=x, kernel=kind).members[0]
        return lambda: network.differentiate(network.forward(x))

    plain: type[Linear] = getattr(linear, full)
    return linear.BFloat16 if _gains("cpu", learning(plain), learning(linear.BFloat16)) else plain


def _gains(device: str, slow: Callable[[], None], fast: Callable[[], None]) -> bool:
    """Tell whether the second work is faster; on a CPU by its own time, so that other processes do not count."""
    clock = time.thread_time if device == "cpu" else time.perf_counter
    taken: dict[Callable[[], None], list[float]] = {slow: [], fast: []}
    for _ in range(ROUNDS):
        for work, seconds in taken.items():
            began = clock()
            work()
            seconds.append(clock() - began)
    return min(taken[slow]) > GAIN * min(taken[fast])
