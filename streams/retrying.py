"""Try again while a broker fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from streams.errors import BrokerError

log = logging.getLogger("finagent.host")
PATIENCE_S = 60.0
"""How long the same is begun again while the broker fails it, before the process gives up."""
STEADY_S = 30.0
"""After so long a run, longer than a call can hang, a failure counts as the first one."""


async def retried(what: str, attempt: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Try again while the broker fails, until stop is set or the failures in a row have lasted for PATIENCE_S."""
    failures, since = 0, 0.0
    while not (failures and stop.is_set()):
        began = time.monotonic()
        try:
            return await attempt()
        except BrokerError as error:
            now = time.monotonic()
            if failures == 0 or now - began > STEADY_S:
                failures, since = 0, now
            if now - since > PATIENCE_S:
                raise
            failures += 1
            log.warning("%s: %s; trying again", what, error)
            await set_within(stop, min(0.2 * 2**failures, 5))


async def set_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Return whether an event is set, waiting for it up to a time."""
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
