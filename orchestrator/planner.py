"""The DAG planner: from a command to steps in an order that their dependencies allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from orchestrator.definitions import steps_from_list, workflow_from_dict
from orchestrator.recipes import ORCHESTRATOR, START_RUN, execute_steps, start_steps
from orchestrator.wording import unknown
from schemas import ExecuteStrategy, ExecuteWorkflow, StartStrategy, StepSpec
from streams.errors import UnknownAction, UnknownPool, WorkflowError

__all__ = ["Planned", "PoolInfo", "ancestors", "plan", "steps_from_list", "workflow_from_dict"]

Planned = ExecuteStrategy | StartStrategy | ExecuteWorkflow
"""A command that becomes a workflow of steps."""


@dataclass(frozen=True)
class PoolInfo:
    """What the planner knows of a pool."""

    name: str
    """For example data_agent_pool."""
    actions: frozenset[str] | None = None
    """What it can do; None: not known here, any action may be asked of it."""
    enabled: bool = True
    """False: no step may be addressed to it."""


_ITSELF = PoolInfo(ORCHESTRATOR, frozenset({START_RUN}))


def plan(command: Planned, pools: Mapping[str, PoolInfo]) -> tuple[StepSpec, ...]:
    """Return a command's steps in topological order, ties in the order of listing.

    Raises WorkflowError, UnknownPool or UnknownAction that name the step.
    """
    steps = _steps_of(command)
    _check_names(steps)
    for step in steps:
        _check_pool(step, {**pools, ORCHESTRATOR: _ITSELF})
    return _ordered(steps)


def ancestors(steps: Sequence[StepSpec], step_id: str) -> tuple[str, ...]:
    """Return all steps that a step needs, directly or through others, in the order of listing."""
    needs = {step.step_id: step.depends_on for step in steps}
    found: set[str] = set()
    ahead = list(needs[step_id])
    while ahead:
        if (name := ahead.pop()) not in found:
            found.add(name)
            ahead += needs[name]
    return tuple(step.step_id for step in steps if step.step_id in found)


def _steps_of(command: Planned) -> tuple[StepSpec, ...]:
    if isinstance(command, ExecuteStrategy):
        return execute_steps(command)
    if isinstance(command, StartStrategy):
        return start_steps(command)
    return command.steps


def _check_names(steps: Sequence[StepSpec]) -> None:
    counts = Counter(step.step_id for step in steps)
    repeated = [step_id for step_id, count in counts.items() if count > 1]
    if repeated:
        raise WorkflowError(f"Steps must have different ids, repeated: {', '.join(repeated)}")
    for step in steps:
        for needed in step.depends_on:
            if needed not in counts:
                raise WorkflowError(f"Step {step.step_id!r} depends on an {unknown('step', needed, counts)}")
    if sum(step.agent_pool == ORCHESTRATOR for step in steps) > 1:
        raise WorkflowError(f"A workflow is one run: it may have one {ORCHESTRATOR}.{START_RUN} step")


def _check_pool(step: StepSpec, pools: Mapping[str, PoolInfo]) -> None:
    known = [name for name, pool in pools.items() if pool.enabled]
    pool = pools.get(step.agent_pool)
    if pool is None:
        raise UnknownPool(f"Step {step.step_id!r}: {unknown('pool', step.agent_pool, known)}")
    if not pool.enabled:
        raise UnknownPool(f"Step {step.step_id!r}: pool {pool.name!r} is disabled; enabled are ({', '.join(known)})")
    if pool.actions is not None and step.action not in pool.actions:
        what = unknown(f"action of {pool.name}", step.action, pool.actions)
        raise UnknownAction(f"Step {step.step_id!r}: {what}")


def _ordered(steps: Sequence[StepSpec]) -> tuple[StepSpec, ...]:
    graph = _graph(steps)
    _check_acyclic(graph)
    place = {step.step_id: index for index, step in enumerate(steps)}
    return tuple(steps[place[each]] for each in nx.lexicographical_topological_sort(graph, key=place.__getitem__))


def _graph(steps: Sequence[StepSpec]) -> nx.DiGraph[str]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(step.step_id for step in steps)
    graph.add_edges_from((needed, step.step_id) for step in steps for needed in step.depends_on)
    return graph


def _check_acyclic(graph: nx.DiGraph[str]) -> None:
    try:
        cycle = nx.find_cycle(graph)
    except nx.NetworkXNoCycle:
        return
    path = [edge[0] for edge in cycle]
    raise WorkflowError(f"Steps depend on each other in a cycle: {' -> '.join([*path, path[0]])}")
