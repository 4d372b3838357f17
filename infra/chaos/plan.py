"""The plan of a run's faults: a pure function of seed, number of faults and slices."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict

from infra.chaos.market import PARTITIONS
from orchestrator.wiring import BUILT_IN
from streams.errors import ConfigError

Kind = Literal["kill_pool", "kill_orchestrator", "kill_broker", "kill_redis", "pause", "cut_off_broker"]
KINDS: tuple[Kind, ...] = get_args(Kind)
BROKER_KINDS = frozenset({"kill_broker", "cut_off_broker"})
"""Of these one lasts at a time, until its broker is in sync again: a majority is what the system is promised."""
ORCHESTRATOR = "orchestrator"
PROCESSES = 2
"""Of each pool, and of the orchestrator."""
_LED = ("orders", "fills", "targets", "signals", "bars", "commands", "results", "portfolio.changelog")
_FIRST = 0.04
_LAST = 0.92
"""Shares of the slices between which faults strike: before it there is work to hit, after it work to recover with."""
_TOGETHER = 1 / 3
_AWAY_S: dict[Kind, tuple[float, float]] = {
    # Longer than the 3 s after which the controller takes a silent broker for gone.
    "kill_broker": (4.0, 8.0),
    "kill_redis": (2.0, 5.0),
    "pause": (8.0, 12.0),
    "cut_off_broker": (5.0, 12.0),
}


class Fault(BaseModel):
    """What is to break, when, and for how long."""

    model_config = ConfigDict(frozen=True)

    number: int
    kind: Kind
    due: int
    """Strikes once so many slices are done by every task,"""
    delay_s: float
    """and so much later."""
    target: str = ""
    """Process, as `risk-1`; of a broker the partition whose leader it is at that time, as `orders:2`; else empty."""
    away_s: float = 0.0
    """How long it is away; processes that are killed are started again by their supervisor."""


def plan_of(seed: int, faults: int, slices: int) -> tuple[Fault, ...]:
    """Return the faults in the order in which they are due; with 6 or more every kind is among them."""
    if seed < 0 or faults < 0:
        raise ConfigError(f"seed is {seed} and faults {faults}, expected at least 0")
    rng = np.random.default_rng([seed, faults, slices])
    blocks = [rng.permutation(len(KINDS)) for _ in range(0, faults, len(KINDS))]
    kinds = [KINDS[index] for block in blocks for index in block][:faults]
    dues = _dues(rng, faults, slices)
    return tuple(_fault(rng, number, kind, due) for number, (kind, due) in enumerate(zip(kinds, dues, strict=True)))


def _dues(rng: np.random.Generator, faults: int, slices: int) -> list[int]:
    """Spread faults over the run; about one in three strikes together with the one before it."""
    moments = np.cumsum(rng.random(faults) >= _TOGETHER)
    share = (moments + rng.random(int(moments.max(initial=0)) + 1)[moments]) / (moments.max(initial=0) + 1)
    dues: list[int] = (slices * (_FIRST + (_LAST - _FIRST) * share)).astype(int).tolist()
    return dues


def _fault(rng: np.random.Generator, number: int, kind: Kind, due: int) -> Fault:
    shortest, longest = _AWAY_S.get(kind, (0.0, 0.0))
    return Fault(
        number=number,
        kind=kind,
        due=due,
        delay_s=round(float(rng.uniform(0.0, 0.3)), 3),
        target=_target(rng, kind),
        away_s=round(float(rng.uniform(shortest, longest)), 1),
    )


def _target(rng: np.random.Generator, kind: Kind) -> str:
    if kind == "kill_redis":
        return ""
    if kind in BROKER_KINDS:
        return f"{_LED[rng.integers(len(_LED))]}:{rng.integers(PARTITIONS)}"
    names = {"kill_pool": BUILT_IN, "kill_orchestrator": (ORCHESTRATOR,), "pause": (*BUILT_IN, ORCHESTRATOR)}[kind]
    return f"{names[rng.integers(len(names))]}-{rng.integers(PROCESSES)}"
