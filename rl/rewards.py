"""Rewards: what a step in the market was worth to the learner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class RewardFunction(ABC):
    """A reward of one's own: subclass it and give it to training."""

    @abstractmethod
    def calculate_reward(
        self, state: Any, action: Any, next_state: Any, portfolio_value: float, benchmark_value: float
    ) -> float:
        """Return the reward of a step."""
