"""Workflow definitions as users write them: plain dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from orchestrator.wording import problems, unknown
from schemas import ExecuteWorkflow, StepSpec
from streams.errors import ConfigError

_WORKFLOW_KEYS = frozenset({"workflow_id", "steps"})
_ALIASES = {"step": "step_id", "agent": "agent_pool"}
_STEP_KEYS = frozenset({*StepSpec.model_fields, *_ALIASES})


def workflow_from_dict(definition: Mapping[str, Any], ts_event: int, *, workflow_id: str = "") -> ExecuteWorkflow:
    """Return the command for {workflow_id, steps: [{agent_pool, action, parameters, ...}]}.

    ts_event: when the command is given, ns UTC. workflow_id: used where the definition has none.
    Raises ConfigError that names the step and the key.
    """
    _check_keys("Workflow", definition, _WORKFLOW_KEYS)
    named = definition.get("workflow_id") or workflow_id
    if not named:
        raise ConfigError("Workflow: workflow_id is missing")
    steps = steps_from_list(definition.get("steps", ()))
    try:
        return ExecuteWorkflow(workflow_id=named, ts_event=ts_event, steps=steps)
    except ValidationError as error:
        raise ConfigError(f"Workflow {named!r}: {problems(error)}") from error


def steps_from_list(steps: Sequence[Mapping[str, Any]]) -> tuple[StepSpec, ...]:
    """Return the steps of a list of dicts; one without depends_on follows the step listed before it.

    A step may be written {step: NAME, agent: POOL}; its action is then NAME.
    """
    if isinstance(steps, str) or not isinstance(steps, Sequence):
        raise ConfigError(f"Workflow: steps must be a list, got {steps!r}")
    if not steps:
        raise ConfigError("Workflow: steps is empty, expected at least one")
    parsed: list[StepSpec] = []
    for index, step in enumerate(steps, start=1):
        parsed.append(_step(index, step, parsed[-1:]))
    return tuple(parsed)


def _step(index: int, step: Mapping[str, Any], before: list[StepSpec]) -> StepSpec:
    _check_keys(f"Step {index}", step, _STEP_KEYS)
    fields = _without_aliases(index, step)
    fields.setdefault("action", fields.get("step_id", ""))
    fields.setdefault("step_id", f"{index}_{fields['action']}")
    if fields.get("depends_on") is None:
        fields["depends_on"] = [each.step_id for each in before]
    if not isinstance(fields.get("parameters", {}), Mapping):
        raise ConfigError(f"Step {fields['step_id']!r}: parameters must be a dict, got {fields['parameters']!r}")
    try:
        return StepSpec.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"Step {fields['step_id']!r}: {problems(error)}") from error
    except TypeError as error:
        raise ConfigError(f"Step {fields['step_id']!r}: parameters are no JSON: {error}") from error


def _without_aliases(index: int, step: Mapping[str, Any]) -> dict[str, Any]:
    for alias, key in _ALIASES.items():
        if alias in step and key in step:
            raise ConfigError(f"Step {index}: give {key} or {alias}, not both")
    return {_ALIASES.get(key, key): value for key, value in step.items()}


def _check_keys(where: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: expected a dict, got {given!r}")
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}: {unknown('key', str(key), known)}")
