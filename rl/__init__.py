"""Who learns: policies trained on replayed topics, and the pool that trades by them."""

from rl.config import RLAlgorithm, RLConfiguration
from rl.rewards import RewardFunction

__all__ = ["RLAlgorithm", "RLConfiguration", "RewardFunction"]
