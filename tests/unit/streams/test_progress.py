"""Offsets handled out of order: what may be committed, and what a restart must not handle again."""

import numpy as np
import pytest

from streams.progress import Progress
from streams.record import Received, TopicPartition

BARS = TopicPartition("bt.run:1.bars", 2)


def record(offset: int) -> Received:
    return Received(*BARS, offset, "A.X", b"", (), 0)


def test_the_low_water_stays_below_what_is_not_handled() -> None:
    progress = Progress({})
    for offset in (5, 6, 9):
        assert progress.seen(record(offset))
    assert progress.waiting == 3
    assert progress.low_water(BARS, 10) == 5
    progress.done(record(6))
    assert progress.low_water(BARS, 10) == 5
    assert progress.done_ahead() == {"bt.run:1.bars:2": [(6, 7)]}
    progress.done(record(5))
    assert progress.low_water(BARS, 10) == 9
    assert progress.done_ahead() == {}
    progress.done(record(9))
    assert progress.low_water(BARS, 10) == 10, "a transaction marker stands behind the last record"
    assert progress.waiting == 0


def test_what_was_handled_ahead_is_not_handled_again_after_a_restart() -> None:
    progress = Progress({"bt.run:1.bars:2": [(6, 7), (8, 9)]})
    assert [offset for offset in range(5, 10) if progress.seen(record(offset))] == [5, 7, 9]
    assert progress.waiting == 3
    for offset in (5, 7):
        progress.done(record(offset))
    assert progress.low_water(BARS, 10) == 9
    assert progress.done_ahead() == {}


def test_a_partition_that_was_never_read_is_handled_up_to_its_position() -> None:
    assert Progress({}).low_water(BARS, 3) == 3


@pytest.mark.parametrize("seed", range(5))
def test_restarts_at_any_moment_handle_every_record_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    progress, waiting, handled = Progress({}), list[int](), list[int]()
    committed, position, ahead = 0, 0, dict[str, list[tuple[int, int]]]()
    while len(handled) < 200:
        what = rng.integers(0, 10)
        if what < 5 and position < 200:
            if progress.seen(record(position)):
                waiting.append(position)
            position += 1
        elif what < 9 and waiting:
            offset = waiting.pop(int(rng.integers(0, len(waiting))))
            progress.done(record(offset))
            handled.append(offset)
            committed, ahead = progress.low_water(BARS, position), progress.done_ahead()
        elif what == 9:
            progress, waiting, position = Progress(ahead), [], committed
    assert sorted(handled) == list(range(200))


def test_a_flood_behind_one_that_waits_is_one_run() -> None:
    progress = Progress({})
    for offset in range(20_000):
        progress.seen(record(offset))
        if offset:
            progress.done(record(offset))
    assert progress.low_water(BARS, 20_000) == 0
    assert progress.done_ahead() == {"bt.run:1.bars:2": [(1, 20_000)]}
    again = Progress(progress.done_ahead())
    assert [offset for offset in range(20_000) if again.seen(record(offset))] == [0]
    again.done(record(0))
    assert again.low_water(BARS, 20_000) == 20_000
    assert again.done_ahead() == {}


def test_a_run_that_is_read_in_parts_is_not_handled_again() -> None:
    progress = Progress({"bt.run:1.bars:2": [(6, 8)]})
    assert progress.seen(record(5))
    progress.done(record(5))
    assert progress.low_water(BARS, 6) == 6
    assert [offset for offset in (6, 7, 8) if progress.seen(record(offset))] == [8]
