"""Sweeps: many backtests of one strategy, and what they say together."""
