"""Resampled paths: whole rows of history, jointly, from the seed's own children."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from agents.data.fetch import FetchParameters, fetch
from agents.data.slicing import bar_slices
from agents.data.sources import SampleProvider
from agents.metrics.bootstrap import resample_indices
from orchestrator.sandbox.panel import Panel
from orchestrator.sandbox.paths import mean_block, path


@pytest.fixture(scope="module")
def panel() -> Panel:
    dates = {"start": dt.date(2012, 1, 3), "end": dt.date(2012, 6, 29)}
    fetched = fetch(SampleProvider(), FetchParameters(symbols=("AAPL", "IBM", "MSFT"), **dates))
    return Panel.of(list(bar_slices([bar for block in fetched.blocks for bar in block.bars()])))


def shapes(of: Panel) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    """Return open, high, low and close relative to the close before, and volume, shape (T - 1, N, 5)."""
    relative = of.prices[1:] / of.prices[:-1, :, 3:]
    return np.concatenate([relative, of.volume[1:, :, None]], axis=2)


@pytest.mark.parametrize("number", [0, 7])
def test_a_path_is_made_of_whole_rows_drawn_by_the_spawned_seed(number: int, panel: Panel) -> None:
    child = np.random.SeedSequence(11).spawn(number + 1)[number]
    drawn = resample_indices(len(panel.bars) - 1, 5.0, np.random.default_rng(child))
    made = path(panel, 5.0, 11, number)
    np.testing.assert_allclose(shapes(made), shapes(panel)[drawn], rtol=1e-12)
    assert (made.prices[0] == panel.prices[0]).all()


def test_a_path_keeps_the_calendar_and_says_that_it_is_synthetic(panel: Panel) -> None:
    slices = path(panel, 5.0, 11, 0).slices("monte-carlo:seed=11:path=0")
    stamps = [[(bar.ts_open, bar.ts_event, bar.session_date, bar.instrument_id) for bar in rows] for rows in slices]
    assert stamps == [
        [(bar.ts_open, bar.ts_event, bar.session_date, bar.instrument_id) for bar in rows] for rows in panel.bars
    ]
    assert tuple(slices[0]) == panel.bars[0]
    assert {(bar.source, bar.synthetic) for rows in slices[1:] for bar in rows} == {
        ("monte-carlo:seed=11:path=0", True)
    }


def test_paths_differ_and_repeat(panel: Panel) -> None:
    closes = {(seed, number): path(panel, 5.0, seed, number).prices.tobytes() for seed in (1, 2) for number in (0, 1)}
    assert len(set(closes.values())) == 4
    assert path(panel, 5.0, 1, 1).prices.tobytes() == closes[1, 1]


def test_the_mean_block_keeps_volatile_times_together(panel: Panel) -> None:
    assert 1 <= mean_block(panel) <= len(panel.bars) / 3
