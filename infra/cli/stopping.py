"""Run until done or until SIGTERM or Ctrl-C asks to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from infra.tuning import event_loop

T = TypeVar("T")


def until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run work, which ends soon after its event is set by SIGTERM or Ctrl-C; a second Ctrl-C ends it at once."""
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        return runner.run(_run(work))


async def _run(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def interrupted() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, interrupted)
    return await work(stop)
