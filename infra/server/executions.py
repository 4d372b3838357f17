"""Strategies as the log tells of them: what was asked for, the run that it led to, and how it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from schemas import ExecuteStrategy, StartStrategy, StrategyStarted, StrategyStopped
from schemas.workflow import WorkflowStatus

StrategyCommand = ExecuteStrategy | StartStrategy
Status = Literal["running", "active", "completed", "failed", "cancelled", "stopped"]
KEPT = 50
"""Executions of one strategy that are remembered."""


@dataclass
class Execution:
    """One command for a strategy, and what became of it."""

    command: StrategyCommand
    run: StrategyStarted | None = None
    stopped: StrategyStopped | None = None

    @property
    def action(self) -> Literal["evaluate", "run"]:
        """Return what was asked for."""
        return "run" if isinstance(self.command, StartStrategy) else "evaluate"

    @property
    def trades(self) -> bool:
        """Return whether it has a run on the data plane."""
        return self.run is not None and self.stopped is None

    def status(self, workflow_status: WorkflowStatus | None) -> Status:
        """Return how it stands, given where its workflow stands; None: nobody has taken it up yet."""
        if self.action == "run" and self.run is not None:
            return "stopped" if self.stopped else "active"
        match workflow_status:
            case "failed" | "cancelled":
                return workflow_status
            case "completed" if self.action == "evaluate":
                return "completed"
        return "running"

    def same_definition(self, command: StrategyCommand) -> bool:
        """Return whether a command asks for the same thing."""
        return plain(self.command) == plain(command)


def plain(command: StrategyCommand) -> StrategyCommand:
    """Return a command without what differs from one submission to the next."""
    return command.model_copy(update={"workflow_id": "-", "ts_event": 0})


@dataclass
class Executions:
    """The executions of each strategy, as long as their workflows are kept."""

    by_workflow: dict[str, Execution] = field(default_factory=dict)
    by_strategy: dict[str, dict[str, Execution]] = field(default_factory=dict)
    """strategy_id -> workflow_id -> execution, in the order in which they were first seen."""
    _runs: dict[str, StrategyStarted] = field(default_factory=dict)
    _stops: dict[str, StrategyStopped] = field(default_factory=dict)
    """Announcements and ends that were read before their command."""

    def learn_command(self, command: StrategyCommand) -> Execution:
        """Note a command; the first of its workflow_id counts."""
        known = self.by_workflow.get(command.workflow_id)
        if known is not None:
            return known
        run = self._runs.pop(command.workflow_id, None)
        stopped = self._stops.pop(command.workflow_id, None)
        made = Execution(command, run, stopped)
        self.by_workflow[command.workflow_id] = made
        own = self.by_strategy.setdefault(command.strategy.strategy_id, {})
        own[command.workflow_id] = made
        if len(own) > KEPT:
            self.forget(next((name for name, each in own.items() if not each.trades), ""))
        return made

    def learn_start(self, run: StrategyStarted) -> Execution | None:
        """Note that a run is on the data plane; None where its command is not known (yet)."""
        execution = self.by_workflow.get(run.workflow_id)
        if execution is None:
            self._runs[run.workflow_id] = run
            return None
        execution.run = run
        return execution

    def learn_stop(self, stopped: StrategyStopped) -> Execution | None:
        """Note that a run is off the data plane."""
        # A run is named after its workflow.
        execution = self.by_workflow.get(stopped.run_id)
        if execution is None:
            self._stops[stopped.run_id] = stopped
            return None
        execution.stopped = stopped
        return execution

    def forget(self, workflow_id: str) -> None:
        """Drop an execution whose workflow is forgotten, or whose command was not published; one that trades stays."""
        execution = self.by_workflow.get(workflow_id)
        if execution is None or execution.trades:
            return
        del self.by_workflow[workflow_id]
        own = self.by_strategy[execution.command.strategy.strategy_id]
        del own[workflow_id]
        if not own:
            del self.by_strategy[execution.command.strategy.strategy_id]

    def of(self, strategy_id: str) -> list[Execution]:
        """Return the executions of a strategy, oldest first."""
        return list(self.by_strategy.get(strategy_id, {}).values())

    def current(self, strategy_id: str, lives: Callable[[Execution], bool]) -> Execution | None:
        """Return the execution that stands for a strategy: the last that lives, else the last."""
        own = self.of(strategy_id)
        return next((each for each in reversed(own) if lives(each)), own[-1] if own else None)
