"""Performance figures of a run, each a pure function with its convention; docs/metrics.md has the table."""

from agents.metrics.performance import performance_metrics

__all__ = ["performance_metrics"]
