"""Who decides the order: strategies, workflows and the facade."""

from orchestrator.facade import FinAgentOrchestrator
from orchestrator.strategy import TradingStrategy

__all__ = ["FinAgentOrchestrator", "TradingStrategy"]
