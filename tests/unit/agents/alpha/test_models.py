import numpy as np
import pytest

from agents.alpha.ema_cross import EmaCrossParameters
from agents.alpha.models import (
    MODELS,
    EmaState,
    Opinion,
    advance_ema,
    decide,
    history_needed,
    opinion_of,
    parse_parameters,
)
from agents.parameters import parse_construction
from streams.errors import ConfigError, MissingData

A, B, C = "AAPL.XNAS", "GOOGL.XNAS", "MSFT.XNAS"


def closes(**series):
    return {f"{name}.XNAS": np.array(values, dtype=np.float64) for name, values in series.items()}


def ask(strategy_type, raw, prices, lookback=2):
    return decide(strategy_type, parse_parameters(strategy_type, raw), prices, lookback)


class TestMomentum:
    def test_compares_the_return_over_the_lookback_with_the_threshold(self):
        # Over 2 bars: 103/100 - 1 = 0.03; 97/100 - 1 = -0.03; 101/100 - 1 = 0.01. The leading 500 lies outside.
        prices = closes(AAPL=[500, 100, 99, 103], GOOGL=[500, 100, 99, 97], MSFT=[500, 100, 99, 101])
        opinions = ask("momentum", {"momentum_threshold": 0.02}, prices)
        assert [opinions[name].signal for name in (A, B, C)] == ["BUY", "SELL", "HOLD"]
        assert [opinions[name].score for name in (A, B, C)] == pytest.approx([0.03, -0.03, 0.01], abs=1e-15)
        # 0.03 / (2 x 0.02) = 0.75; 0.01 / 0.04 = 0.25.
        assert [opinions[name].confidence for name in (A, B, C)] == pytest.approx([0.75, 0.75, 0.25])

    def test_holds_exactly_at_the_threshold(self):
        opinion = ask("momentum", {"threshold": 0.25}, closes(AAPL=[100, 100, 125]))[A]
        assert opinion == Opinion("HOLD", 0.25, 0.5)

    def test_is_certain_of_any_score_at_threshold_zero(self):
        opinions = ask("momentum", {"threshold": 0}, closes(AAPL=[100, 100, 100.5], GOOGL=[100, 90, 100]))
        assert (opinions[A].signal, opinions[A].confidence) == ("BUY", 1.0)
        assert (opinions[B].signal, opinions[B].confidence) == ("HOLD", 0.0)

    def test_confidence_stops_at_one(self):
        assert ask("momentum", {}, closes(AAPL=[100, 100, 200]))[A].confidence == 1.0

    def test_window_overrides_the_lookback(self):
        # One bar: 99/110 - 1 = -0.1; two bars: 99/90 - 1 = +0.1.
        prices = closes(AAPL=[90, 110, 99])
        assert ask("momentum", {"momentum_window": 1}, prices)[A].score == pytest.approx(-0.1)
        assert ask("momentum", {}, prices)[A].score == pytest.approx(0.1)
        assert history_needed("momentum", parse_parameters("momentum", {"momentum_window": 5}), 20) == 6

    def test_top_ranks_across_instruments(self):
        prices = closes(AAPL=[100, 0, 110], GOOGL=[100, 0, 130], MSFT=[100, 0, 120])
        opinions = ask("momentum", {"top": 2}, prices)
        assert {name: opinion.signal for name, opinion in opinions.items()} == {A: "SELL", B: "BUY", C: "BUY"}

    def test_top_still_asks_for_the_threshold(self):
        prices = closes(AAPL=[100, 0, 101], GOOGL=[100, 0, 130])
        opinions = ask("momentum", {"top": 2}, prices)
        assert (opinions[A].signal, opinions[B].signal) == ("SELL", "BUY")

    def test_equal_returns_rank_by_instrument(self):
        prices = closes(MSFT=[100, 0, 110], AAPL=[100, 0, 110])
        opinions = ask("momentum", {"top": 1}, prices)
        assert (opinions[A].signal, opinions[C].signal) == ("BUY", "SELL")

    def test_names_what_is_missing(self):
        with pytest.raises(MissingData, match=r"AAPL.XNAS has 2 closes, 3 are needed"):
            ask("momentum", {}, closes(AAPL=[100, 101]))


class TestMeanReversion:
    def test_scores_by_sample_standard_deviations(self):
        # Mean of 1, 2, 3, 4, 10 is 4; squared distances 9 + 4 + 1 + 0 + 36 = 50; 50 / 4 = 12.5; (10 - 4) / sqrt(12.5).
        opinion = ask("mean_reversion", {}, closes(AAPL=[99, 1, 2, 3, 4, 10]), lookback=5)[A]
        assert (opinion.signal, opinion.confidence) == ("SELL", pytest.approx(6 / 12.5**0.5 / 2))
        assert opinion.score == pytest.approx(6 / 12.5**0.5)

    def test_buys_far_below_the_mean_and_holds_in_between(self):
        # 10, 10, 10, 2: mean 8, squares 4 + 4 + 4 + 36 = 48, sd 4, z = -1.5. 12, 10, 8, 8: mean 9.5, squares
        # 6.25 + 0.25 + 2.25 + 2.25 = 11, sd sqrt(11 / 3), z = -1.5 / 1.915 = -0.783.
        opinions = ask("mean_reversion", {}, closes(AAPL=[10, 10, 10, 2], GOOGL=[12, 10, 8, 8]), lookback=4)
        assert (opinions[A].signal, opinions[A].score, opinions[A].confidence) == ("BUY", -1.5, 0.75)
        assert (opinions[B].signal, opinions[B].score) == ("HOLD", pytest.approx(-1.5 / (11 / 3) ** 0.5))

    def test_a_window_without_movement_says_nothing(self):
        assert ask("mean_reversion", {}, closes(AAPL=[0.1] * 7), lookback=7)[A] == Opinion("HOLD", 0.0, 0.0)

    def test_refuses_a_lookback_without_a_deviation(self):
        with pytest.raises(ConfigError, match="lookback_period = 1"):
            ask("mean_reversion", {}, closes(AAPL=[1]), lookback=1)

    def test_refuses_an_exit_below_the_entry(self):
        with pytest.raises(ConfigError, match="exit_z -2"):
            parse_parameters("mean_reversion", {"exit_z": -2.0})


class TestEmaCross:
    def test_follows_the_hand_worked_averages(self):
        # Spans 1 and 3 give factors 1 and 1/2. 8, 12, 10: fast 10; slow 8 -> 10 -> 10. Then 14: fast 14, slow 12.
        state = EmaState()
        advance_ema(state, np.array([8.0, 12.0, 10.0]), 1, 3)
        assert (state.fast, state.slow, state.count) == (10.0, 10.0, 3)
        assert opinion_of(state) == Opinion("SELL", 0.0, 0.0)
        advance_ema(state, np.array([14.0]), 1, 3)
        assert opinion_of(state) == Opinion("BUY", 14 / 12 - 1, 1.0)

    def test_cutting_blocks_differently_gives_the_same_bits(self):
        prices = np.random.default_rng(1).uniform(90, 110, 1000)
        whole, cut = EmaState(), EmaState()
        advance_ema(whole, prices, 5, 20)
        for part in np.split(prices, [1, 7, 500]):
            advance_ema(cut, part, 5, 20)
        assert cut == whole

    def test_agrees_with_pandas(self):
        pandas = pytest.importorskip("pandas")
        prices = np.random.default_rng(2).uniform(90, 110, 300)
        state = EmaState()
        advance_ema(state, prices, 50, 200)
        expected = [pandas.Series(prices).ewm(span=span, adjust=False).mean().iloc[-1] for span in (50, 200)]
        assert [state.fast, state.slow] == pytest.approx(expected, rel=1e-12)

    def test_decides_on_exactly_the_history_it_asks_for(self):
        raw = {"fast": 1, "slow": 3}
        assert history_needed("ema_cross", parse_parameters("ema_cross", raw), 2) == 3
        short, long = closes(AAPL=[12, 10, 14]), closes(AAPL=[1000, 12, 10, 14])
        # 12 -> 11 -> 12.5 for the slow one; the fast one is the price.
        assert ask("ema_cross", raw, short)[A].score == pytest.approx(14 / 12.5 - 1)
        assert ask("ema_cross", raw, long) == ask("ema_cross", raw, short)

    def test_an_empty_block_changes_nothing(self):
        state = EmaState()
        advance_ema(state, np.empty(0), 1, 3)
        assert state == EmaState()
        with pytest.raises(MissingData):
            opinion_of(state)

    def test_defaults_and_order_of_spans(self):
        assert parse_parameters("ema_cross", {}) == EmaCrossParameters(fast=50, slow=200)
        with pytest.raises(ConfigError, match="fast 300 must be below slow 200"):
            parse_parameters("ema_cross", {"fast": 300})


def test_buy_and_hold_always_buys():
    assert ask("buy_and_hold", {}, closes(AAPL=[3]), lookback=20)[A] == Opinion("BUY", 1.0, 1.0)
    with pytest.raises(MissingData):
        ask("buy_and_hold", {}, closes(AAPL=[]))


class TestParameters:
    @pytest.mark.parametrize("name", ["momentum_threshold", "threshold", "signal_threshold"])
    def test_the_threshold_has_three_names(self, name):
        assert parse_parameters("momentum", {name: 0.05}).model_dump()["momentum_threshold"] == 0.05

    def test_names_of_one_parameter_must_agree(self):
        assert parse_parameters("momentum", {"threshold": 0.05, "signal_threshold": 0.05})
        with pytest.raises(ConfigError, match=r"'signal_threshold' = 0.1 and 'momentum_threshold' = 0.05"):
            parse_parameters("momentum", {"threshold": 0.05, "signal_threshold": 0.1})

    def test_an_unknown_key_names_the_nearest_known_one(self):
        with pytest.raises(ConfigError, match=r"'momentum_treshold' = 0.02, did you mean 'momentum_threshold'"):
            parse_parameters("momentum", {"momentum_treshold": 0.02})
        with pytest.raises(ConfigError, match=r"'positionsize' = 1, did you mean 'position_size'"):
            parse_parameters("buy_and_hold", {"positionsize": 1})

    @pytest.mark.parametrize(
        ("raw", "says"),
        [
            ({"threshold": -0.1}, r"'threshold' = -0.1"),
            ({"threshold": float("nan")}, r"'threshold' = nan"),
            ({"top": 0}, r"'top' = 0"),
            ({"momentum_window": 1.5}, r"'momentum_window' = 1.5"),
            ({"position_size": 0}, r"'position_size' = 0"),
            ({"position_size": 1.2}, r"'position_size' = 1.2"),
        ],
    )
    def test_a_value_out_of_range_is_named(self, raw, says):
        with pytest.raises(ConfigError, match=says):
            parse_parameters("momentum", raw)

    def test_construction_reads_only_its_own(self):
        raw = {"threshold": 0.02, "position_size": 0.33}
        assert parse_construction(raw).position_size == 0.33
        assert "position_size" not in parse_parameters("momentum", raw).model_dump()

    def test_an_unknown_model_names_the_nearest_known_one(self):
        with pytest.raises(ConfigError, match=r"'momentun', did you mean 'momentum'"):
            parse_parameters("momentun", {})
        shipped = "momentum mean_reversion sma_cross ema_cross pairs equal_weight buy_and_hold risk_parity"
        assert set(MODELS) == set(shipped.split())
