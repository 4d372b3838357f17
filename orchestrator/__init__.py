"""Who decides the order: strategies, workflows, the facade and the sandbox."""

from orchestrator.facade import FinAgentOrchestrator
from orchestrator.sandbox import SandboxEnvironment, SandboxMode, TestScenario
from orchestrator.strategy import TradingStrategy

__all__ = ["FinAgentOrchestrator", "SandboxEnvironment", "SandboxMode", "TestScenario", "TradingStrategy"]
