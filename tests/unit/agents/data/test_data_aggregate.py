from itertools import pairwise

import numpy as np
import pytest

from agents.data.aggregate import Aggregation, aggregate, flush
from agents.data.synthetic import synthetic_ticks
from agents.data.ticks import pack_ticks, unpack_ticks
from schemas import Bar, TickBlock
from streams.errors import ConfigError, InvalidData

MINUTE = 60 * 10**9
T0 = 1_641_047_400 * 10**9  # 2022-01-01T14:30:00Z


def ticks(*rows: tuple[int, float, float], source: str = "test", seq0: int = 0) -> TickBlock:
    times, price, size = zip(*rows, strict=True)
    return TickBlock(
        instrument_id="X.SIM",
        source=source,
        synthetic=True,
        base_ts=T0,
        seq0=seq0,
        dt_ns=times,
        price=price,
        size=size,
        side=[0] * len(rows),
    )


def test_a_bar_comes_with_the_first_tick_at_its_end() -> None:
    state = Aggregation()
    inside = ticks((0, 10.0, 1.0), (5, 12.0, 2.0), (MINUTE - 1, 9.0, 0.5), (MINUTE - 1, 11.0, 1.0))
    assert aggregate(state, inside, "1m") == []
    (bar,) = aggregate(state, ticks((MINUTE, 20.0, 4.0), seq0=4), "1m")
    assert bar == Bar(
        instrument_id="X.SIM",
        interval="1m",
        ts_open=T0,
        ts_event=T0 + MINUTE,
        session_date="2022-01-01",
        open=10.0,
        high=12.0,
        low=9.0,
        close=11.0,
        volume=4.5,
        adjustment="raw",
        source="ticks:test",
        synthetic=True,
    )
    (rest,) = flush(state, "1m")
    assert (rest.ts_open, rest.open, rest.close, rest.volume) == (T0 + MINUTE, 20.0, 20.0, 4.0)
    assert flush(state, "1m") == []


def test_windows_without_ticks_give_no_bar() -> None:
    state = Aggregation()
    bars = aggregate(state, ticks((0, 1.0, 1.0), (3 * MINUTE, 2.0, 1.0)), "1m") + flush(state, "1m")
    assert [(bar.ts_open - T0) // MINUTE for bar in bars] == [0, 3]


def test_the_cut_into_blocks_changes_nothing() -> None:
    blocks = synthetic_ticks(["X"], 5_000, seed=3, start_ns=T0)
    whole = [unpack_ticks(block) for block in blocks]

    def run(cuts: list[int]) -> list[Bar]:
        state, bars = Aggregation(), []
        for table in whole:
            edges = sorted({0, len(table), *(cut for cut in cuts if cut < len(table))})
            for begin, end in pairwise(edges):
                for block in pack_ticks(table[begin:end]):
                    state = Aggregation.model_validate_json(state.model_dump_json())
                    bars += aggregate(state, block, "10s")
        return bars + flush(state, "10s")

    expected = run([])
    assert len(expected) > 20
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert run(rng.integers(0, 1000, size=int(rng.integers(1, 60))).tolist()) == expected
    assert sum(bar.volume for bar in expected) == sum(float(table.size.sum()) for table in whole)


def test_the_volume_has_the_rounding_of_one_left_to_right_sum() -> None:
    sizes = np.random.default_rng(1).random(600)
    rows = [(i, 1.0, float(size)) for i, size in enumerate(sizes)]
    total = 0.0
    for size in sizes.tolist():
        total += size
    for cut in (0, 1, 37, 300):
        state = Aggregation()
        for seq0, part in ((0, rows[:cut]), (cut, rows[cut:])):
            if part:
                aggregate(state, ticks(*part, seq0=seq0), "1m")
        assert flush(state, "1m")[0].volume == total


def test_after_hours_ticks_belong_to_the_session_before() -> None:
    state = Aggregation()
    start = 1_353_711_600 * 10**9 - T0  # 2012-11-23T23:00:00Z, after an early close
    block = TickBlock(**{**ticks((0, 1.0, 1.0)).model_dump(), "base_ts": T0 + start})
    aggregate(state, block, "1h", "XNYS")
    assert flush(state, "1h", "XNYS")[0].session_date == "2012-11-23"


def test_what_would_rewrite_a_bar_is_refused() -> None:
    state = Aggregation()
    aggregate(state, ticks((MINUTE, 1.0, 1.0)), "1m")
    with pytest.raises(InvalidData, match="comes after"):
        aggregate(state, ticks((MINUTE - 1, 1.0, 1.0)), "1m")
    with pytest.raises(InvalidData, match="other"):
        aggregate(state, ticks((MINUTE, 1.0, 1.0), source="other"), "1m")
    flush(state, "1m")
    with pytest.raises(InvalidData, match="comes after"):
        aggregate(state, ticks((MINUTE + 1, 1.0, 1.0)), "1m")


def test_days_are_sessions_only_where_markets_never_close() -> None:
    with pytest.raises(ConfigError, match="not sessions of XNYS"):
        aggregate(Aggregation(), ticks((0, 1.0, 1.0)), "1d", "XNYS")
    state = Aggregation()
    aggregate(state, ticks((0, 1.0, 1.0)), "1d")
    assert flush(state, "1d")[0].session_date == "2022-01-01"
