"""The alpha pool on slices: what it keeps, when it decides."""

import pytest

from agents.alpha import plans
from agents.alpha.plans import Plans
from agents.alpha.pool import RunState, build
from agents.context import Run, Slice
from schemas import RiskLimits
from streams.errors import ConfigError
from streams.record import Envelope, Event
from tests.dataplane import bar, instrument, record, started

A, B = instrument("A"), instrument("B")
SHORT = RiskLimits(allow_short=True)


def slice_of(day, **closes):
    bars = [bar(f"{name}.XNAS", day, close) for name, close in closes.items()]
    envelope = Envelope("m", "Bar", "test", 0, "m", "m", None)
    return Slice(bars[0].ts_event, [Event(each, envelope, record(each)) for each in bars], {})


def decided(run, days):
    """Return the pool's signals by day, over slices of {instrument: close}."""
    (handler,) = build().handlers
    state, signals = RunState(), []
    for day, closes in enumerate(days):
        here = slice_of(day, **closes)
        made = [because.message for because in handler.function(here, Run(run, here.ts), state)]
        signals.append({each.instrument_id[0]: each for each in made})
    return signals, state


def test_an_aligned_model_learns_only_slices_that_have_every_instrument():
    run = started("r", [A, B], strategy_type="risk_parity", lookback_period=2)
    days = [{"A": 100, "B": 100}, {"A": 101}, {"A": 102, "B": 104}, {"A": 101, "B": 103}]
    signals, state = decided(run, days)
    assert [len(each) for each in signals] == [0, 0, 0, 2]
    assert state.closes == {"A.XNAS": [100, 102, 101], "B.XNAS": [100, 104, 103]}
    assert sum(each.target_weight for each in signals[-1].values()) == pytest.approx(1)


def test_a_weight_travels_in_the_signal():
    run = started("r", [A, B], strategy_type="equal_weight", parameters={"gross": 0.9})
    signals, _ = decided(run, [{"A": 100, "B": 50}])
    assert [signals[0][name].target_weight for name in "AB"] == [0.45, 0.45]
    assert {each.model for each in signals[0].values()} == {"equal_weight"}


def test_a_model_decides_first_when_its_window_is_full_and_once_per_period():
    run = started("r", [A], strategy_type="sma_cross", parameters={"fast": 1, "slow": 3}, rebalance_frequency="weekly")
    # 2012-01-01 is a Sunday: days 0 | 1 to 7 | 8.
    signals, _ = decided(run, [{"A": close} for close in (10, 11, 12, 13, 9, 9, 9, 9, 20)])
    assert [each["A"].signal if each else None for each in signals] == [None, None, "BUY", *[None] * 5, "BUY"]


def test_parameters_are_read_once_per_run(monkeypatch):
    calls = []
    monkeypatch.setattr(plans, "parse_parameters", lambda kind, raw: calls.append(kind) or original(kind, raw))
    run, again = started("r", [A]), started("r", [A], parameters={"threshold": 0.1})
    kept = Plans()
    assert kept.of(run) is kept.of(run)
    assert kept.of(again).parameters.momentum_threshold == 0.1
    assert len(calls) == 2


original = plans.parse_parameters


def test_pairs_without_short_positions_is_refused():
    run = started("r", [A, B], strategy_type="pairs", lookback_period=3)
    with pytest.raises(ConfigError, match=r"pairs sells short: set limits.allow_short"):
        decided(run, [{"A": 9, "B": 9}])
    signals, _ = decided(started("r", [A, B], strategy_type="pairs", lookback_period=3, limits=SHORT), [{"A": 9}] * 2)
    assert signals == [{}, {}]
