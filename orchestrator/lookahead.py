"""Does a strategy see the future? Cut the future off, and change it: decisions up to the cut must stay the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agents.data.feed import Row
from agents.pool import AgentPool
from orchestrator.backtest import BacktestPlan
from orchestrator.replay import Replay
from schemas import Bar, TickBlock, canonical_json
from streams.record import Event, rfc3339

DECISIONS = ("signals", "targets", "orders")
PoolsOf = Callable[[Sequence[Sequence[Row]]], Sequence[AgentPool]]
"""Makes fresh pools for one variant of the data: a pool that was prepared on all of it is prepared anew."""


@dataclass(frozen=True)
class Finding:
    """A decision that changed with what came after it."""

    test: str
    """prefix: the future was cut off; perturbed: it was changed."""
    cut: int
    """The last slice that both runs share, ns UTC."""
    decision: str
    """The first decision that differs."""

    def __str__(self) -> str:
        how = "cut off" if self.test == "prefix" else "changed"
        return f"with the data after {rfc3339(self.cut)} {how}, a decision made by then differs: {self.decision}"


def check_lookahead(
    plan: BacktestPlan, slices: Sequence[Sequence[Row]], pools_of: PoolsOf, *, cuts: int = 5, seed: int = 0
) -> list[Finding]:
    """Return what depends on the future; empty where nothing does. Cuts are spread evenly over the slices."""
    whole = _decisions(plan, slices, pools_of)
    findings = []
    for number in sorted({round(len(slices) * (i + 1) / (cuts + 1)) for i in range(cuts)}):
        cut = max(row.ts_event for row in slices[number - 1])
        known = [said for ts, said in whole if ts <= cut]
        others = {"prefix": list(slices[:number]), "perturbed": perturbed(slices, number, seed)}
        for test, other in others.items():
            again = [said for ts, said in _decisions(plan, other, pools_of) if ts <= cut]
            if again != known:
                findings.append(Finding(test, cut, _first_difference(known, again)))
    return findings


def perturbed(slices: Sequence[Sequence[Row]], number: int, seed: int) -> list[Sequence[Row]]:
    """Return the slices with the prices after the first `number` ones scaled by a random factor each."""
    rng = np.random.default_rng([seed, number])
    later = [[_scaled(row, float(rng.uniform(0.5, 2.0))) for row in rows] for rows in slices[number:]]
    return [*slices[:number], *later]


def _scaled(row: Row, factor: float) -> Row:
    if isinstance(row, TickBlock):
        return row.model_copy(update={"price": row.price * factor})
    if not isinstance(row, Bar):
        return row
    return row.model_copy(update={name: getattr(row, name) * factor for name in ("open", "high", "low", "close")})


def _decisions(plan: BacktestPlan, slices: Sequence[Sequence[Row]], pools_of: PoolsOf) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []

    def note(name: str, event: Event) -> None:
        if name in DECISIONS:
            message = event.message
            said = f"{type(message).__name__} {canonical_json(message.model_dump(mode='json'))}"
            found.append((event.envelope.slice or 0, said))

    replay = Replay(pools_of(slices), [plan.run()], note, plan.policies)
    for rows in slices:
        replay.slice(rows)
    return found


def _first_difference(known: Sequence[str], again: Sequence[str]) -> str:
    for one, other in zip(known, again, strict=False):
        if one != other:
            return f"{one} became {other}"
    longer = known if len(known) > len(again) else again
    return f"{longer[min(len(known), len(again))]} is {'missing' if longer is known else 'new'}"
