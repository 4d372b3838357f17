"""The learning curve: rewards of episodes by environment steps, in a bounded number of points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

LONGEST = 2000
"""Points at most; then each two become one."""


@dataclass
class Curve:
    """Means of the rewards of episodes that ended one after the other."""

    points: list[tuple[int, float, int]] = field(default_factory=list)
    """(environment steps, mean reward, episodes)."""
    _least: int = 1
    """Episodes of a point; the last one may have fewer."""

    def add(self, steps: int, rewards: Sequence[float]) -> None:
        """Take in episodes that ended at so many steps."""
        for reward in rewards:
            last = self.points[-1] if self.points else None
            if last is not None and last[2] < self._least:
                self.points[-1] = _joined(last, (steps, reward, 1))
            else:
                self.points.append((steps, reward, 1))
        if len(self.points) > LONGEST:
            pairs = zip(self.points[::2], [*self.points[1::2], None], strict=False)
            self.points = [one if two is None else _joined(one, two) for one, two in pairs]
            self._least *= 2

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"points": [list(point) for point in self.points], "least": self._least}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """Return what told() told; raise KeyError, TypeError or ValueError for something else."""
        points: Iterable[Sequence[Any]] = told["points"]
        return cls([(int(steps), float(reward), int(count)) for steps, reward, count in points], int(told["least"]))


def _joined(one: tuple[int, float, int], two: tuple[int, float, int]) -> tuple[int, float, int]:
    count = one[2] + two[2]
    return two[0], (one[1] * one[2] + two[1] * two[2]) / count, count
