import numpy as np
import pytest

from agents.data.reference import Reference
from agents.data.synthetic import Walk, synthetic_instruments, synthetic_ticks
from schemas import TickBlock
from streams.errors import ConfigError

START = 1_640_995_200 * 10**9


def prices(blocks: list[TickBlock], instrument_id: str) -> np.ndarray:
    return np.concatenate([block.price for block in blocks if block.instrument_id == instrument_id])


def test_the_seed_decides() -> None:
    once = synthetic_ticks(["A", "B"], 1_500, seed=1, start_ns=START)
    assert once == synthetic_ticks(["A", "B"], 1_500, seed=1, start_ns=START)
    other = synthetic_ticks(["A", "B"], 1_500, seed=2, start_ns=START)
    assert prices(once, "A.SIM").tolist() != prices(other, "A.SIM").tolist()
    assert prices(once, "A.SIM").tolist() != prices(once, "B.SIM").tolist()


def test_a_symbol_does_not_depend_on_the_others() -> None:
    alone = synthetic_ticks(["B"], 1_500, seed=1, start_ns=START)
    assert alone == [
        b for b in synthetic_ticks(["A", "B"], 1_500, seed=1, start_ns=START) if b.instrument_id == "B.SIM"
    ]


def test_rows_are_labelled_ordered_and_on_tick_and_lot() -> None:
    walk = Walk(reference=Reference(venue="TEST", tick_size=0.05, lot_size=10.0))
    blocks = synthetic_ticks(["A", "B"], 2_500, seed=4, start_ns=START, walk=walk)
    assert [len(b) for b in blocks if b.instrument_id == "A.TEST"] == [1000, 1000, 500]
    assert [b.base_ts for b in blocks] == sorted(b.base_ts for b in blocks)
    for block in blocks:
        assert (block.source, block.synthetic) == ("synthetic:seed=4", True)
        assert [round(round(p / 0.05) * 0.05, 2) for p in block.price.tolist()] == block.price.tolist()
        assert set(block.size.tolist()) <= {10.0 * lots for lots in range(1, 11)}
        assert set(block.side.tolist()) <= {1, 2}
        assert (np.diff(block.times()) > 0).all()
    (a, b) = synthetic_instruments(["A", "B"], walk)
    assert (a.instrument_id, a.tick_size, a.lot_size, a.calendar, b.symbol) == ("A.TEST", 0.05, 10.0, "24/7", "B")


def test_the_noise_reverts_and_the_trend_does_not() -> None:
    smooth = Reference(venue="SIM", tick_size=1e-6)
    reverting = Walk(volatility=1e-9, noise=1e-4, reversion=0.5, reference=smooth)
    log = np.log(prices(synthetic_ticks(["A"], 20_000, seed=1, start_ns=0, walk=reverting), "A.SIM"))
    # an AR(1) with coefficient 0.5: autocorrelation 0.5, deviation noise / sqrt(1 - 0.25)
    assert np.corrcoef(log[1:], log[:-1])[0, 1] == pytest.approx(0.5, abs=0.03)
    assert log.std() == pytest.approx(1e-4 / np.sqrt(0.75), rel=0.03)
    trending = Walk(volatility=1e-4, noise=1e-9, reference=smooth)
    steps = np.diff(np.log(prices(synthetic_ticks(["A"], 20_000, seed=1, start_ns=0, walk=trending), "A.SIM")))
    assert np.corrcoef(steps[1:], steps[:-1])[0, 1] == pytest.approx(0.0, abs=0.03)
    assert steps.std() == pytest.approx(1e-4, rel=0.03)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="count is 0"):
        synthetic_ticks(["A"], 0, seed=1, start_ns=0)
