"""Whether what a disturbed run decided is what it decides undisturbed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from pydantic import BaseModel, ConfigDict

from infra.chaos.reading import Log, outcome

_SHOWN = 20
"""Of each kind of finding, the first ones are named."""


class Finding(BaseModel):
    """What is wrong in one way."""

    model_config = ConfigDict(frozen=True)

    what: str
    count: int
    first: tuple[str, ...] = ()
    """The first ones, for people."""


class Verdict(BaseModel):
    """Tell of each way in which the runs may differ, and how often they do."""

    model_config = ConfigDict(frozen=True)

    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Tell whether nothing is wrong."""
        return not any(finding.count for finding in self.findings)

    def counts(self) -> dict[str, int]:
        """Return how many of each kind were found."""
        return {finding.what: finding.count for finding in self.findings}


def judge(expected: Log, found: Log, stuck: Collection[str], aborted: Collection[str]) -> Verdict:
    """Compare a run with the undisturbed one.

    stuck: tasks that did not come to the end, and where they stand. aborted: ids that stand in aborted records alone.
    """
    ways: Mapping[str, Iterator[str]] = {
        "lost": (name for name in expected.decisions if name not in found.decisions),
        "duplicated": iter(found.repeats),
        "foreign": (name for name in found.decisions if name not in expected.decisions),
        "differing": _differing(expected, found),
        "stuck": iter(stuck),
        "caused_by_no_record": _uncaused(expected, found, aborted),
        "ledgers": _ledgers(expected, found),
        "workflows": _workflows(expected, found),
        "answers_with_two_ids": (f"{name}: {sorted(ids)}" for name, ids in found.attempts.items() if len(ids) > 1),
        "dead_letters": iter(found.letters),
    }
    return Verdict(findings=tuple(_finding(what, wrong) for what, wrong in ways.items()))


def _finding(what: str, wrong: Iterator[str]) -> Finding:
    every = list(wrong)
    return Finding(what=what, count=len(every), first=tuple(every[:_SHOWN]))


def _differing(expected: Log, found: Log) -> Iterator[str]:
    for name, value in found.decisions.items():
        if expected.decisions.get(name, value) != value:
            yield f"{name}: {value.hex()}, expected {expected.decisions[name].hex()}"


def _uncaused(expected: Log, found: Log, aborted: Collection[str]) -> Iterator[str]:
    """Name what was caused by a message that no reader of committed records ever saw.

    What has no record in the undisturbed run either, such as a slice itself, is a root.
    """
    for cause, place in found.causes.items():
        if cause not in found.places and (cause not in expected.causes or cause in expected.places):
            why = "an aborted record" if cause in aborted else "no record"
            yield f"{place} was caused by {cause}, which is {why}"
    yield from (
        f"{place} was caused by {cause}, which is an aborted record"
        for cause, place in found.timed.items()
        if cause in aborted
    )


def _ledgers(expected: Log, found: Log) -> Iterator[str]:
    for account_id, statement in sorted(found.statements.items()):
        worth = statement.cash + math.fsum(each.quantity * each.mark for each in statement.positions)
        if not math.isclose(worth, statement.equity, rel_tol=1e-12, abs_tol=1e-6):
            yield f"{account_id}: cash and positions come to {worth!r}, equity to {statement.equity!r}"
    for account_id, statement in sorted(expected.statements.items()):
        if found.statements.get(account_id) != statement:
            yield f"{account_id}: {found.statements.get(account_id)}, expected {statement}"


def _workflows(expected: Log, found: Log) -> Iterator[str]:
    for name, workflow in sorted(expected.workflows.items()):
        known = found.workflows.get(name)
        if known is None:
            yield f"{name} is nowhere on the log"
        elif outcome(known) != outcome(workflow):
            yield f"{name}: {outcome(known)}, expected {outcome(workflow)}"
    yield from (f"{name} was never asked for" for name in found.workflows.keys() - expected.workflows.keys())
