"""How a transition lies in memory: one float32 row, in the replay buffer as on the topic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """The columns of a row: observation | action | reward | next observation | terminated | truncated.

    The action is what the policy drew, before it is clipped to [-1, 1] and scaled to the environment's bounds. The next
    observation of an episode's last step is that episode's own, not the next one's first. Terminated and truncated are
    0 or 1; only a terminated step has no value after it.
    """

    observation_size: int
    action_size: int

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return 2 * self.observation_size + self.action_size + 3

    @property
    def observation(self) -> slice:
        """Return the columns of the observation."""
        return slice(0, self.observation_size)

    @property
    def action(self) -> slice:
        """Return the columns of the action."""
        return slice(self.observation_size, self.observation_size + self.action_size)

    @property
    def reward(self) -> int:
        """Return the column of the reward."""
        return self.observation_size + self.action_size

    @property
    def next_observation(self) -> slice:
        """Return the columns of the next observation."""
        return slice(self.reward + 1, self.reward + 1 + self.observation_size)

    @property
    def terminated(self) -> int:
        """Return the column that says whether the episode reached an end of its own."""
        return self.width - 2

    @property
    def truncated(self) -> int:
        """Return the column that says whether the episode was cut off."""
        return self.width - 1
