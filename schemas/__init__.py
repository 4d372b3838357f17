"""What is said: every event and command as a frozen message, and the Avro schemas generated from them."""

from schemas.backtests import BacktestCompleted, BacktestFailed, RunBacktest
from schemas.catalog import MESSAGES
from schemas.corporate_actions import CorporateAction
from schemas.fills import OrderAccepted, OrderCanceled, OrderExpired, OrderFilled, OrderRejected, OrderReport
from schemas.market import Bar, BarBlock, Instrument, SliceClosed, TickBlock
from schemas.message import Message, canonical_json
from schemas.orders import CancelOrder, OrderProposed, OrderTerms, Side, SubmitOrder
from schemas.policies import PolicyInForce, PolicyPublished
from schemas.positions import Position, PositionsUpdated
from schemas.risk import DenialCode, KillSwitchChanged, KillSwitchSet, OrderDenied, RiskAssessed
from schemas.signals import Direction, Signal
from schemas.state import StateSaved
from schemas.strategies import RebalanceFrequency, RiskLimits, StrategySpec, StrategyStarted, StrategyStopped
from schemas.transitions import TransitionsRecorded
from schemas.workflow import (
    CancelWorkflow,
    Command,
    ExecuteStrategy,
    ExecuteWorkflow,
    RunStep,
    SetKillSwitch,
    StartStrategy,
    StepCompleted,
    StepFailed,
    StepSpec,
    StepState,
    StopStrategy,
    Workflow,
)

__all__ = [
    "MESSAGES",
    "BacktestCompleted",
    "BacktestFailed",
    "Bar",
    "BarBlock",
    "CancelOrder",
    "CancelWorkflow",
    "Command",
    "CorporateAction",
    "DenialCode",
    "Direction",
    "ExecuteStrategy",
    "ExecuteWorkflow",
    "Instrument",
    "KillSwitchChanged",
    "KillSwitchSet",
    "Message",
    "OrderAccepted",
    "OrderCanceled",
    "OrderDenied",
    "OrderExpired",
    "OrderFilled",
    "OrderProposed",
    "OrderRejected",
    "OrderReport",
    "OrderTerms",
    "PolicyInForce",
    "PolicyPublished",
    "Position",
    "PositionsUpdated",
    "RebalanceFrequency",
    "RiskAssessed",
    "RiskLimits",
    "RunBacktest",
    "RunStep",
    "SetKillSwitch",
    "Side",
    "Signal",
    "SliceClosed",
    "StartStrategy",
    "StateSaved",
    "StepCompleted",
    "StepFailed",
    "StepSpec",
    "StepState",
    "StopStrategy",
    "StrategySpec",
    "StrategyStarted",
    "StrategyStopped",
    "SubmitOrder",
    "TickBlock",
    "TransitionsRecorded",
    "Workflow",
    "canonical_json",
]
