"""What a run reports: its input, its faults with what became of them, and its verdict."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict

from infra.chaos.plan import KINDS, Fault
from infra.chaos.supervisor import Ending
from infra.chaos.verdict import Verdict
from infra.services.jars import kafka_version


class Outcome(BaseModel):
    """Tell what became of a fault."""

    model_config = ConfigDict(frozen=True)

    fault: Fault
    struck: str
    """What it really hit: a process and its pid, or a broker."""
    at_s: float
    """When it struck, in seconds from the first slice's closing."""
    at_slice: int
    """How many slices were done then."""
    recovery_s: float
    """Time until every task that it concerns had committed anew; for Redis until a heartbeat stood there again."""
    stood_still_s: float
    """The longest time until then in which no slice was completed by all tasks."""


class Counts(BaseModel):
    """Tell how much a run was."""

    model_config = ConfigDict(frozen=True)

    slices: int
    bars: int
    """Records of market data."""
    records: int
    """Committed ones on all topics that are read at the end."""
    aborted_records: int
    """On the same topics."""
    decisions: int
    orders: int
    fills: int
    workflows: int


class Report(BaseModel):
    """Tell all of a run."""

    model_config = ConfigDict(frozen=True)

    seed: int
    faults: int
    slices: int
    instruments: int
    data_source: str
    synthetic: bool
    config: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    started: str
    """UTC."""
    seconds: float
    """From the first slice to the last."""
    longest_pause_s: float
    """The longest time in which no slice was completed by all tasks."""
    counts: Counts
    outcomes: tuple[Outcome, ...]
    endings: tuple[Ending, ...]
    starts: int
    """Of processes, the first ones among them."""
    verdict: Verdict
    notes: tuple[str, ...] = ()
    """What else went otherwise than planned."""

    @property
    def sound(self) -> bool:
        """Tell whether the run decided what it decides undisturbed, and every fault struck."""
        return self.verdict.sound and len(self.outcomes) == self.faults

    def recovery(self) -> list[tuple[str, int, float, float, float]]:
        """Return count, p50, p99 and longest of the recovery times in seconds, by kind of fault and for all."""
        by_kind = {kind: [o.recovery_s for o in self.outcomes if o.fault.kind == kind] for kind in KINDS}
        rows = [*by_kind.items(), ("all", [o.recovery_s for o in self.outcomes])]
        struck = [(kind, times) for kind, times in rows if times]
        return [(kind, len(times), percentile(times, 50), percentile(times, 99), max(times)) for kind, times in struck]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    names = ("finagent-orchestration", "aiokafka", "faust-streaming")
    return {**{name: version(name) for name in names}, "kafka": kafka_version(), "python": platform.python_version()}


def machine() -> dict[str, Any]:
    """Return what the run was made on."""
    memory_gb = round(psutil.virtual_memory().total / 1e9, 1)
    return {"cores": os.cpu_count(), "memory_gb": memory_gb, "system": platform.system(), "load": os.getloadavg()[0]}
