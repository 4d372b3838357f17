"""A training's figures for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from infra.training.pace import Pace
from rl.notes import Notes

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

EVERY_S = 0.5
"""Time between the figures of rounds; evaluations are written each."""


class Board:
    """Writes event files that `tensorboard --logdir` shows."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer
        self._looked = 0
        self._pace = Pace()
        self._written = 0.0

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[Board]:
        """Write into a folder until the block ends."""
        # Here, because only this needs it and it is slow to import.
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(folder)) as writer:
            yield cls(writer)

    def show(self, notes: Notes) -> None:
        """Take in a round."""
        self._pace.hear(notes)
        for point in notes.examination.points[self._looked :]:
            told = {"train": point.train, "validation": point.validation, "saturation": point.saturation}
            for name, value in {**told, "turnover": point.turnover, "q_bias": point.q_bias}.items():
                if value is not None:
                    self._writer.add_scalar(f"evaluation/{name}", value, point.steps)
        self._looked = len(notes.examination.points)
        if time.monotonic() > self._written + EVERY_S or notes.share >= 1:
            self._written = time.monotonic()
            self._round(notes)

    def _round(self, notes: Notes) -> None:
        steps, pace = notes.last.steps, self._pace.told(notes)
        rows: dict[str, float | None] = {f"update/{name}": value for name, value in self._pace.figures.items()}
        rows["rollout/episode_reward"] = notes.final_reward
        rows["rollout/episodes"] = notes.last.episodes
        rows |= {f"time/{name}": pace[name] for name in ("steps_per_s", "updates_per_s")}
        for name, value in rows.items():
            if value is not None:
                self._writer.add_scalar(name, value, steps)
