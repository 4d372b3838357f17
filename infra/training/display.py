"""A training's progress on a terminal: live there, a line now and then elsewhere; always on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from infra.training.pace import Pace
from rl.notes import Notes

LINE_S = 10.0
"""Time between lines where there is no terminal."""
_SHOWN = ("actor_loss", "critic_loss", "value_loss", "q_mean", "explained_variance", "entropy", "grad_norm")


class Display:
    """Shows how far a training is."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._pace = Pace()
        self._live: Live | None = None
        self._said = time.monotonic()

    @classmethod
    @contextmanager
    def open(cls, title: str, console: Console | None = None) -> Iterator[Display]:
        """Show until the block ends."""
        display = cls(title, console or Console(stderr=True))
        if not display._console.is_terminal:
            display._console.print(title, highlight=False, markup=False, soft_wrap=True)
            yield display
            return
        with Live(console=display._console, refresh_per_second=4) as display._live:
            yield display

    def show(self, notes: Notes) -> None:
        """Take in a round, and show it where it is time."""
        self._pace.hear(notes)
        if self._live is not None:
            self._live.update(self._table(notes))
        elif time.monotonic() > self._said + LINE_S or notes.share >= 1:
            self._said = time.monotonic()
            self._console.print(self._line(notes), highlight=False, markup=False, soft_wrap=True)

    def _line(self, notes: Notes) -> str:
        return f"{notes.share:4.0%}  " + ", ".join(f"{name} {value}" for name, value in self._rows(notes))

    def _table(self, notes: Notes) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, value in self._rows(notes):
            table.add_row(Text(name, style="dim"), Text(value))
        return Group(Text(self._title), ProgressBar(total=1.0, completed=notes.share, width=60), table)

    def _rows(self, notes: Notes) -> list[tuple[str, str]]:
        progress, pace = notes.last, self._pace.told(notes)
        rows = [
            ("steps", f"{progress.steps:,}"),
            ("episodes", f"{progress.episodes:,}"),
            ("reward", "-" if notes.final_reward is None else f"{notes.final_reward:.4g}"),
            ("updates", f"{progress.updates:,} ({pace['updates_per_s']:,.0f}/s)"),
        ]
        points = notes.examination.points
        if points:
            last = points[-1]
            rows.append(("score", f"{last.train:.4g} in training, {last.validation or 0.0:.4g} on validation"))
        rows += [(name, f"{self._pace.figures[name]:.4g}") for name in _SHOWN if name in self._pace.figures]
        rows.append(("left", _duration(pace["eta_s"])))
        return rows


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
