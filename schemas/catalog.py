"""The catalogue of all messages, by name."""

from __future__ import annotations

from schemas import (
    backtests,
    corporate_actions,
    fills,
    market,
    orders,
    policies,
    positions,
    risk,
    signals,
    state,
    strategies,
    transitions,
    workflow,
)
from schemas.message import Message

MESSAGES: dict[str, type[Message]] = {
    model.__name__: model
    for model in (
        market.Instrument,
        market.Bar,
        market.BarBlock,
        market.TickBlock,
        market.SliceClosed,
        corporate_actions.CorporateAction,
        strategies.StrategyStarted,
        strategies.StrategyStopped,
        signals.Signal,
        orders.OrderProposed,
        orders.SubmitOrder,
        orders.CancelOrder,
        risk.OrderDenied,
        risk.RiskAssessed,
        risk.KillSwitchSet,
        risk.KillSwitchChanged,
        fills.OrderAccepted,
        fills.OrderRejected,
        fills.OrderFilled,
        fills.OrderCanceled,
        fills.OrderExpired,
        positions.PositionsUpdated,
        policies.PolicyPublished,
        transitions.TransitionsRecorded,
        workflow.ExecuteStrategy,
        workflow.StartStrategy,
        workflow.StopStrategy,
        workflow.SetKillSwitch,
        workflow.ExecuteWorkflow,
        workflow.CancelWorkflow,
        workflow.RunStep,
        workflow.StepCompleted,
        workflow.StepFailed,
        workflow.Workflow,
        backtests.RunBacktest,
        backtests.BacktestCompleted,
        backtests.BacktestFailed,
        state.StateSaved,
    )
}
"""Message classes that may stand on a topic."""
