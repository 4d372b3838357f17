"""What the parameters of a run come to, read once per run."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.alpha.models import check_limits, history_needed, is_aligned, parse_parameters
from agents.parameters import Parameters
from schemas import StrategyStarted


@dataclass(frozen=True)
class Plan:
    """A run's model, ready to decide."""

    started: StrategyStarted
    parameters: Parameters
    needed: int
    """Closes that a decision needs of each instrument."""
    aligned: bool
    """Whether only slices count in which every instrument has a price."""


@dataclass
class Plans:
    """The plans of the runs seen; each follows from its run alone, so that keeping it changes no decision."""

    _by_run: dict[str, Plan] = field(default_factory=dict)

    def of(self, started: StrategyStarted) -> Plan:
        """Return a run's plan; raise ConfigError where its parameters or limits are wrong."""
        plan = self._by_run.get(started.run_id)
        if plan is None or plan.started is not started:
            plan = self._by_run[started.run_id] = plan_of(started)
        return plan


def plan_of(started: StrategyStarted) -> Plan:
    """Read a run's parameters; raise ConfigError where they or its limits are wrong."""
    kind = started.strategy_type
    check_limits(kind, started.limits)
    parameters = parse_parameters(kind, started.parameters)
    needed = history_needed(kind, parameters, started.lookback_period)
    return Plan(started, parameters, needed, is_aligned(kind))
