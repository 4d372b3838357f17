"""What a message says, in one line for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from schemas import Bar, Message, TickBlock
from streams.record import rfc3339


def summary(message: Message) -> str:
    """Return what a message says; a type without words of its own gives its name and its key fields."""
    words = _WORDS.get(type(message).__name__)
    return words(message) if words else _plainly(message)


def row_summary(data: Bar | TickBlock, row: int) -> str:
    """Return what a market-data row says, and where it stands within its block."""
    if isinstance(data, Bar):
        prices = f"open {data.open:g} high {data.high:g} low {data.low:g} close {data.close:g} volume {data.volume:g}"
        said = f"{data.interval} bar of {data.instrument_id}, session {data.session_date}: {prices}"
    else:
        time = rfc3339(data.base_ts + int(data.dt_ns[row]))
        said = f"trade of {data.instrument_id}: {data.size[row]:g} at {data.price[row]:g}, {time}"
        said += f"; row {row + 1} of {len(data)} in its block, sequence {data.seq0 + row}"
    return f"{said}, {'synthetic' if data.synthetic else 'observed'}, from {data.source}"


def _terms(order: Any) -> str:
    return f"{order.side} {order.quantity:g} {order.instrument_id}"


def _kind(order: Any) -> str:
    limit = f" at {order.limit_price:g} or better" if order.limit_price is not None else ""
    return f"{order.order_type}{limit}, {order.time_in_force}"


def _filled(fill: Any) -> str:
    costs = f"commission {fill.commission:.2f}, spread {fill.spread_cost:.2f}, impact {fill.impact_cost:.2f}"
    priced = f"{fill.price:.6g} ({fill.reference_price:g} before costs)"
    return f"{_terms(fill)} at {priced}, {costs} {fill.currency}, {fill.leaves_quantity:g} left open"


def _signal(signal: Any) -> str:
    figures = f"score {signal.score:.6g}, confidence {signal.confidence:.2f}, price {signal.price:g}"
    return f"{signal.signal} {signal.instrument_id} by {signal.model}: {figures}"


def _started(run: Any) -> str:
    names = _listed([instrument.instrument_id for instrument in run.instruments])
    money = f"{run.initial_cash:,.2f} {run.currency} in {run.account_id}"
    return f"run {run.run_id} of {run.strategy_id}: {run.strategy_type} by {run.alpha_pool} on {names}, {money}"


def _strategy(command: Any) -> str:
    spec = command.strategy
    return f"{type(command).__name__} {spec.strategy_id} ({spec.name}) on {_listed(spec.symbols)}"


def _workflow(workflow: Any) -> str:
    steps = ", ".join(f"{step.spec.step_id} {step.status}" for step in workflow.steps)
    return f"workflow {workflow.workflow_id} {workflow.status}: {workflow.error or steps}"


def _step(step: Any) -> str:
    return f"step {step.step_id} of workflow {step.workflow_id}"


def _positions(account: Any) -> str:
    held = ", ".join(f"{each.quantity:g} {each.instrument_id}" for each in account.positions[:5])
    more = f" and {len(account.positions) - 5} more" if len(account.positions) > 5 else ""
    money = f"equity {account.equity:,.2f}, cash {account.cash:,.2f} {account.currency}"
    return f"{account.account_id}: {money}, holds {held or 'nothing'}{more}"


def _switch(word: Any) -> str:
    return f"account {word.account_id} {'halted' if word.active else 'released'}: {word.reason}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _plainly(message: Message) -> str:
    names = ("run_id", "account_id", "workflow_id", "step_id", "instrument_id", "reason", "error")
    said = [f"{name} {getattr(message, name)}" for name in names if getattr(message, name, "")]
    return f"{type(message).__name__} {', '.join(said)}".rstrip()


_WORDS: dict[str, Callable[[Any], str]] = {
    "Bar": lambda bar: row_summary(bar, 0),
    "TickBlock": lambda block: row_summary(block, 0),
    "BarBlock": lambda block: f"{len(block)} {block.interval} bars of {block.instrument_id}, from {block.source}",
    "Signal": _signal,
    "OrderProposed": lambda order: f"{_terms(order)}, {_kind(order)}, sized at {order.reference_price:g}",
    "SubmitOrder": lambda order: f"{_terms(order)}, {_kind(order)}",
    "OrderDenied": lambda denial: f"{_terms(denial)} denied, {denial.code}: {denial.reason}",
    "OrderAccepted": lambda report: f"{_terms(report)} accepted by the venue",
    "OrderRejected": lambda report: f"{_terms(report)} rejected by the venue: {report.reason}",
    "OrderCanceled": lambda report: f"{_terms(report)} canceled: {report.reason}",
    "OrderExpired": lambda report: f"{_terms(report)} expired",
    "OrderFilled": _filled,
    "CancelOrder": lambda order: f"order {order.order_id} of {order.instrument_id} withdrawn: {order.reason}",
    "KillSwitchChanged": _switch,
    "KillSwitchSet": _switch,
    "SetKillSwitch": _switch,
    "StrategyStarted": _started,
    "ExecuteStrategy": _strategy,
    "StartStrategy": _strategy,
    "PositionsUpdated": _positions,
    "RunStep": lambda step: f"{_step(step)} asked of {step.agent_pool}: {step.action}, attempt {step.attempt}",
    "StepCompleted": lambda step: f"{_step(step)} completed",
    "StepFailed": lambda step: f"{_step(step)} failed, {step.error_type}: {step.error}",
    "Workflow": _workflow,
}
