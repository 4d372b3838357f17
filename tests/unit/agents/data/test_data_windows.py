from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from agents.data.synthetic import Walk, synthetic_ticks
from agents.data.ticks import pack_ticks, unpack_ticks
from agents.data.windows import windows
from schemas import TickBlock
from streams.errors import ConfigError, InvalidData

WINDOW = 1000


def block(instrument_id: str, times: list[int], seq0: int = 0, source: str = "test") -> TickBlock:
    ones = [1.0] * len(times)
    dt_ns = [time - times[0] for time in times]
    return TickBlock(
        instrument_id=instrument_id,
        source=source,
        synthetic=True,
        base_ts=times[0],
        seq0=seq0,
        dt_ns=dt_ns,
        price=ones,
        size=ones,
        side=[0] * len(times),
    )


def shape(slices: list[list[TickBlock]]) -> list[list[tuple[str, int, list[int]]]]:
    return [[(b.instrument_id, b.seq0, b.times().tolist()) for b in blocks] for blocks in slices]


def test_windows_cut_all_instruments_at_the_same_times() -> None:
    a = block("A.SIM", [100, 999, 1000, 3500])
    b = block("B.SIM", [500, 3000], seq0=7)
    assert shape(list(windows([a, b], WINDOW))) == [
        [("A.SIM", 0, [100, 999]), ("B.SIM", 7, [500])],
        [("A.SIM", 2, [1000])],
        [("A.SIM", 3, [3500]), ("B.SIM", 8, [3000])],
    ]


def test_a_window_comes_as_soon_as_a_later_block_is_seen() -> None:
    def source() -> Iterator[TickBlock]:
        yield block("A.SIM", [100, 1100])
        yield block("B.SIM", [2000])
        raise AssertionError("read too far")

    slices = windows(source(), WINDOW)
    assert [next(slices)[0].seq0, next(slices)[0].seq0] == [0, 1]


def test_the_cut_into_blocks_changes_nothing() -> None:
    given = synthetic_ticks(["A", "B", "C"], 1_500, seed=5, start_ns=10**18, walk=Walk(mean_gap_ns=20))
    expected = list(windows(given, WINDOW))
    assert len(expected) > 20
    rng = np.random.default_rng(2)
    for _ in range(5):
        cut = []
        for whole in given:
            table = unpack_ticks(whole)
            edges = sorted({0, len(table), *rng.integers(0, len(table), size=30).tolist()})
            cut += [b for i, j in pairwise(edges) for b in pack_ticks(table[i:j])]
        cut.sort(key=lambda b: (b.base_ts, b.seq0))
        assert list(windows(cut, WINDOW)) == expected


def test_no_row_is_lost_and_none_leaves_its_window() -> None:
    given = synthetic_ticks(["A", "B"], 3_000, seed=6, start_ns=0, walk=Walk(mean_gap_ns=2))
    slices = list(windows(given, 4000))
    for blocks in slices:
        times = np.concatenate([b.times() for b in blocks])
        assert len(set((times // 4000).tolist())) == 1
        assert all(len(b) <= 1000 for b in blocks)
    assert sum(len(b) for blocks in slices for b in blocks) == 6_000
    starts = [min(b.base_ts for b in blocks) for blocks in slices]
    assert starts == sorted(starts)


def test_disorder_is_refused() -> None:
    with pytest.raises(InvalidData, match="after the windows up to 3000 ns"):
        list(windows([block("A.SIM", [100]), block("B.SIM", [3500]), block("C.SIM", [2999])], WINDOW))
    with pytest.raises(InvalidData, match="row 0 at 200 ns comes after row 0 at 100 ns"):
        list(windows([block("A.SIM", [100]), block("A.SIM", [200])], WINDOW))
    with pytest.raises(InvalidData, match="rows of other follow rows of test"):
        list(windows([block("A.SIM", [100]), block("A.SIM", [200], seq0=1, source="other")], WINDOW))
    with pytest.raises(ConfigError, match="window_ns is 0"):
        list(windows([], 0))
