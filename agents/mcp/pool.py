"""A pool that is an MCP server: its tools are the actions of workflow steps."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agents.mcp.tools import call, endpoint, names
from agents.pool import AgentPool
from agents.references import is_reference
from agents.steps import Inputs, StepContext
from streams.errors import PoolUnavailable, WorkflowError
from streams.record import rfc3339

T = TypeVar("T")
log = logging.getLogger("FinAgentOrchestrator")
FAILURES = 5
"""Failed connections in a row after which the server is left alone for a while."""
REST_S = 10.0
"""How long it is left alone, in seconds; then one call tries it again."""
CHECK_S = 5.0
"""How long a check waits for an answer, in seconds."""
_GIVEN = ("data", "inputs")
"""Arguments of a tool that get the results of the steps before it, unless the step sets them itself."""


@dataclass
class McpPool(AgentPool):
    """Asks the MCP server at a URL; its tools are found when they are called, so it may come and go.

    Each call connects anew. A server that cannot be reached fails the step as retryable; after FAILURES in a row
    further calls fail at once for REST_S.
    """

    url: str = ""
    _failures: int = field(init=False, default=0, repr=False)
    """In a row."""
    _failed: float = field(init=False, default=0.0, repr=False)
    """When the last one was, by the monotonic clock."""
    _reachable: bool = field(init=False, default=True, repr=False)

    def __post_init__(self) -> None:
        endpoint(self.url)

    @property
    def answers_steps(self) -> bool:
        """Return True: any tool may be asked for."""
        return True

    @property
    def known_actions(self) -> frozenset[str] | None:
        """Return None: only the server knows."""
        return None

    @property
    def problem(self) -> str:
        """Return what is wrong, empty where the last call reached the server."""
        return "" if self._reachable else f"Failed to connect to {self.address} at {self.url}"

    def answer(self, action: str) -> Callable[..., Any]:
        """Return the function that calls the tool of this name."""

        def answered(parameters: dict[str, Any], inputs: Inputs, step: StepContext) -> dict[str, Any]:
            def arguments(names: frozenset[str]) -> dict[str, Any]:
                wanted = [name for name in _GIVEN if name in names and name not in parameters]
                return parameters | ({name: told(inputs) for name in wanted} if wanted else {})

            return self._called(lambda: call(self.url, action, arguments, step.timeout_s))

        return answered

    def check(self) -> None:
        """Find out whether the server answers, and log it where that has changed; blocks."""
        with suppress(PoolUnavailable):
            self._called(lambda: names(self.url, CHECK_S))

    def _called(self, attempt: Callable[[], T]) -> T:
        # No lock is held over a call: the steps of a batch are asked at the same time.
        if self._failures >= FAILURES and time.monotonic() - self._failed < REST_S:
            raise self._missing(f"left alone for {REST_S:g} s after {FAILURES} failures")
        try:
            result = attempt()
        except PoolUnavailable as error:
            self._failures, self._failed = self._failures + 1, time.monotonic()
            raise self._missing(str(error)) from error
        except WorkflowError:  # the server said no, so it is there
            self._met()
            raise
        self._met()
        return result

    def _met(self) -> None:
        self._failures = 0
        if not self._reachable:
            log.info("Connected to %s at %s again", self.address, self.url)
        self._reachable = True

    def _missing(self, why: str) -> PoolUnavailable:
        self._reachable = False
        log.error("%s", self.problem)
        log.debug("%s", why)
        return PoolUnavailable(f"{self.problem}: {why}")


async def watch(pools: Sequence[AgentPool]) -> None:
    """Check the pools that are MCP servers, then those that do not answer every REST_S, until cancelled."""
    remote = [pool for pool in pools if isinstance(pool, McpPool)]
    unchecked = remote
    while remote:
        for pool in unchecked:
            await asyncio.to_thread(pool.check)
        await asyncio.sleep(REST_S)
        unchecked = [pool for pool in remote if pool.problem]


def told(inputs: Inputs) -> dict[str, Any]:
    """Return the results of the steps before, by step_id, and the bars that they refer to as columns by instrument."""
    results = {
        step_id: {key: value for key, value in result.items() if not is_reference(value)}
        for step_id, result in inputs.results.items()
    }
    bars: dict[str, dict[str, list[Any]]] = {}
    for block in inputs.blocks:
        columns = bars.setdefault(block.instrument_id, {name: [] for name in ("time", *_COLUMNS)})
        columns["time"] += [rfc3339(block.base_ts + int(offset)) for offset in block.dt_ns]
        for name in _COLUMNS:
            columns[name] += getattr(block, name).tolist()
    return {**results, "bars": bars}


_COLUMNS = ("open", "high", "low", "close", "volume")
