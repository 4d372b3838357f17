"""The memory pool: workflow steps that read what memory keeps."""

from __future__ import annotations

from typing import Any

from agents.memory.reader import Wanted
from agents.pool import AgentPool
from agents.steps import StepContext


class QueryParameters(Wanted):
    """Parameters of the query step."""

    limit: int = 20
    """At most so many, the newest ones; a result holds 100 kB."""


def build() -> AgentPool:
    """Return the pool.

    Its answers are what memory held when the step ran. Running a workflow again may give others; the log keeps these.
    """
    pool = AgentPool("memory")

    @pool.step("query")
    def query(parameters: QueryParameters, step: StepContext) -> dict[str, Any]:
        """Return events, newest first."""
        found = step.memory.query(wanted=parameters)
        return {"events": found, "count": len(found)}

    @pool.step("latest")
    def latest(parameters: dict[str, Any], step: StepContext) -> dict[str, Any]:
        """Return the latest state of a run."""
        return step.memory.latest(str(parameters.get("run_id", "")))

    return pool
