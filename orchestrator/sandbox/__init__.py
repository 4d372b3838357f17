"""The sandbox: scenarios that really run a strategy, on history, on shocked or resampled data, and on the live path."""

from orchestrator.sandbox.config import BacktestConfig
from orchestrator.sandbox.environment import SandboxEnvironment
from orchestrator.sandbox.scenario import SandboxMode, TestScenario
from orchestrator.sandbox.trial import plan_of, slices_of

__all__ = ["BacktestConfig", "SandboxEnvironment", "SandboxMode", "TestScenario", "plan_of", "slices_of"]
