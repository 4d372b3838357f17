"""Models that name weights: equal weight and risk parity."""

import numpy as np
import pytest

from agents.alpha.models import Opinion, decide, history_needed, is_aligned, parse_parameters
from agents.alpha.risk_parity import equal_risk
from streams.errors import ConfigError, InvalidData, MissingData

A, B, C = "AAPL.XNAS", "GOOGL.XNAS", "MSFT.XNAS"


def prices(*returns):
    return np.cumprod([100.0, *(1 + each for each in returns)])


def parity(closes, lookback, **raw):
    opinions = decide("risk_parity", parse_parameters("risk_parity", raw), closes, lookback)
    return {name: opinion.target_weight for name, opinion in opinions.items()}


def covariance(sigma, correlation):
    return np.outer(sigma, sigma) * np.array(correlation, dtype=float)


class TestEqualWeight:
    def test_gives_each_instrument_its_share(self):
        closes = {name: np.array([1.0]) for name in (A, B, C)}
        opinions = decide("equal_weight", parse_parameters("equal_weight", {"gross": 0.9}), closes, 20)
        assert opinions == {name: Opinion("BUY", 0.9 / 3, 1.0, 0.9 / 3) for name in (A, B, C)}

    def test_needs_one_close_of_each(self):
        parameters = parse_parameters("equal_weight", {})
        assert history_needed("equal_weight", parameters, 250) == 1
        with pytest.raises(MissingData):
            decide("equal_weight", parameters, {A: np.empty(0)}, 1)

    def test_refuses_a_gross_of_nothing(self):
        with pytest.raises(ConfigError, match="gross"):
            parse_parameters("equal_weight", {"gross": 0})


class TestEqualRisk:
    @pytest.mark.parametrize("rho", [-0.9, 0.0, 0.5, 0.999])
    def test_two_instruments_get_their_inverse_volatilities(self, rho):
        # 1 / 0.1 to 1 / 0.3 is 3 to 1, whatever the correlation.
        weights = equal_risk(covariance([0.1, 0.3], [[1, rho], [rho, 1]]))
        assert weights == pytest.approx([0.75, 0.25], rel=1e-9)

    def test_uncorrelated_instruments_get_their_inverse_volatilities(self):
        # 1 / 0.1, 1 / 0.2, 1 / 0.4 are 4 : 2 : 1.
        assert equal_risk(covariance([0.1, 0.2, 0.4], np.eye(3))) == pytest.approx([4 / 7, 2 / 7, 1 / 7], rel=1e-9)

    def test_one_correlated_pair_shares_its_risk(self):
        # Equal volatilities; the pair's rho = 0.5625: y^2 (1 + rho) = 1, y = 0.8, and 1 for the third: 4 : 4 : 5.
        rho = [[1, 0.5625, 0], [0.5625, 1, 0], [0, 0, 1]]
        assert equal_risk(covariance([0.2] * 3, rho)) == pytest.approx([4 / 13, 4 / 13, 5 / 13], rel=1e-9)

    def test_contributions_are_equal_for_any_covariance(self):
        rng = np.random.default_rng(6)
        for size in range(1, 12):
            factors = rng.normal(size=(size, size + 3))
            matrix = factors @ factors.T * rng.uniform(1e-6, 1e-2)
            weights = equal_risk(matrix)
            shares = weights * (matrix @ weights) / (weights @ matrix @ weights)
            assert shares == pytest.approx(np.full(size, 1 / size), rel=1e-8)
            assert (weights > 0).all()
            assert weights.sum() == pytest.approx(1)

    def test_says_where_there_are_no_such_weights(self):
        with pytest.raises(InvalidData, match="nearly cancel"):
            equal_risk(covariance([0.1, 0.1], [[1, -1], [-1, 1]]))


class TestRiskParity:
    def test_weighs_by_the_returns_of_the_lookback(self):
        # Sample sd of +-1 % is half that of +-2 %: 2 to 1. The wild first return lies outside.
        closes = {A: prices(0.5, 0.01, -0.01, 0.01), B: prices(-0.5, 0.02, -0.02, 0.02)}
        assert parity(closes, 3) == pytest.approx({A: 2 / 3, B: 1 / 3}, rel=1e-9)
        assert parity(closes, 3, gross=0.9) == pytest.approx({A: 0.6, B: 0.3}, rel=1e-9)

    def test_a_single_instrument_gets_all(self):
        assert parity({A: prices(0.01, -0.01, 0.02)}, 3) == {A: 1.0}

    def test_its_score_is_the_weight(self):
        closes = {A: prices(0.01, -0.01), B: prices(0.02, 0.01)}
        opinion = decide("risk_parity", parse_parameters("risk_parity", {}), closes, 2)[A]
        assert opinion == Opinion("BUY", opinion.target_weight, 1.0, opinion.target_weight)

    def test_refuses_prices_without_risk(self):
        with pytest.raises(MissingData, match=r"GOOGL.XNAS: its last 2 returns do not vary"):
            parity({A: prices(0.01, -0.01), B: prices(0.01, 0.01)}, 2)

    def test_needs_the_closes_of_its_returns(self):
        parameters = parse_parameters("risk_parity", {})
        assert history_needed("risk_parity", parameters, 60) == 61
        assert is_aligned("risk_parity")
        with pytest.raises(ConfigError, match="lookback_period = 1"):
            history_needed("risk_parity", parameters, 1)
        with pytest.raises(MissingData, match="has 2 closes, 3 are needed"):
            parity({A: prices(0.01)}, 2)
