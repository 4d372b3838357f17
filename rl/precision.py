"""How torch computes while a training runs; nothing of it stays behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from rl.config import RLConfiguration


@contextmanager
def computing(config: RLConfiguration) -> Iterator[None]:
    """Set threads and matmul precision as configured, and put back what was there."""
    import torch

    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(config.threads)
    if config.precision == "auto":
        torch.set_float32_matmul_precision(fastest())
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


@cache
def fastest() -> str:
    """Return the matmul precision that this processor multiplies fastest with, "highest" unless another is faster."""
    import torch

    a = torch.ones(256, 256)
    taken = {}
    before = torch.get_float32_matmul_precision()
    for precision in ("highest", "medium"):
        torch.set_float32_matmul_precision(precision)
        a @ a
        began = time.perf_counter()
        for _ in range(20):
            a @ a
        taken[precision] = time.perf_counter() - began
    torch.set_float32_matmul_precision(before)
    return min(taken, key=lambda name: taken[name])
