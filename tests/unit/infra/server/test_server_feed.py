"""The pace of a served feed."""

from __future__ import annotations

import pytest

from infra.cli.feeding import Pace


async def test_slices_are_paced_by_their_count_whatever_their_times() -> None:
    pace = Pace(None, slices_per_s=0.01)
    waits = [pace.wait_s(ts) for ts in (0, 1, 10**18)]
    assert waits == pytest.approx([0.0, 100.0, 200.0], abs=5.0)


async def test_without_a_pace_nothing_waits() -> None:
    pace = Pace(None)
    assert [pace.wait_s(ts) for ts in (0, 10**18)] == [0.0, 0.0]
