"""What the answer to a workflow step is given, and what it returns.

An answer is a function of the step's parameters and of the results of the steps before it. Rows travel by reference:
an answer returns Rows, which are written to the topic `history`; the next step finds them loaded in its Inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agents.memory.access import MemoryAccess
from agents.references import Rows
from schemas import BarBlock, Instrument, Message
from schemas.columns import Float64
from streams.errors import MissingData

__all__ = ["Answer", "Inputs", "Rows", "StepContext"]


@dataclass(frozen=True)
class Inputs:
    """Results of the steps that a step depends on, directly or not."""

    results: Mapping[str, Mapping[str, Any]]
    """By step_id."""
    blocks: tuple[BarBlock, ...] = ()
    """The rows that those results refer to."""

    def column(self, name: Literal["open", "high", "low", "close", "volume"]) -> dict[str, Float64]:
        """Return a column of the bars by instrument, oldest first; raise MissingData where no step before gave bars."""
        if not self.blocks:
            raise MissingData("no step before this one gave market data; put data_agent_pool.fetch_market_data first")
        parts: dict[str, list[Float64]] = {}
        for block in self.blocks:
            parts.setdefault(block.instrument_id, []).append(getattr(block, name))
        return {instrument_id: np.concatenate(columns) for instrument_id, columns in parts.items()}

    def common_closes(self) -> dict[str, Float64]:
        """Return closes by instrument on the bars that all instruments have, shape (n,) each, oldest first."""
        closes = self.column("close")
        parts: dict[str, list[NDArray[np.int64]]] = {}
        for block in self.blocks:
            parts.setdefault(block.instrument_id, []).append(block.dt_ns.astype(np.int64) + block.base_ts)
        times = {instrument_id: np.concatenate(columns) for instrument_id, columns in parts.items()}
        common = reduce(np.intersect1d, times.values())
        return {name: values[np.isin(times[name], common)] for name, values in closes.items()}

    @property
    def last_ts(self) -> int:
        """Return the time of the last bar, ns UTC."""
        return max((block.ts_event for block in self.blocks), default=0)

    def instruments(self) -> dict[str, Instrument]:
        """Return the instruments that a step before named, by id."""
        found = (Instrument.model_validate(each) for each in self.find("instruments"))
        return {instrument.instrument_id: instrument for instrument in found}

    def find(self, key: str) -> Any:
        """Return a key of the latest result that has it; raise MissingData where none has."""
        for result in reversed(list(self.results.values())):
            if key in result:
                return result[key]
        raise MissingData(f"no step before this one gave {key!r}")


@dataclass(frozen=True)
class StepContext:
    """Which step is being answered."""

    workflow_id: str
    step_id: str
    ts: int
    """When the step was sent, ns UTC."""
    timeout_s: float = 30.0
    """How long the orchestrator waits for the answer, in seconds from ts."""
    instruments: Mapping[str, Instrument] = field(default_factory=dict)
    """What the topic `instruments` says, by instrument_id."""
    access: MemoryAccess | None = None
    """To the shared memory; None: this process has none."""

    @property
    def memory(self) -> MemoryAccess:
        """Return the shared memory; raise MissingData where this process has none."""
        if self.access is None:
            raise MissingData("this process has no shared memory: it was started without a store for its steps")
        return self.access


@dataclass(frozen=True)
class Answer:
    """A result together with events to publish."""

    result: Mapping[str, Any]
    events: tuple[tuple[str, Message], ...] = ()
    """(partition key, event)."""
