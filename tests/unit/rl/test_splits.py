"""Splits by time: what lies where, and that nothing of a later span is in an earlier one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rl.market import Market
from rl.panel import sp500
from rl.splits import split, walk_forward
from streams.errors import ConfigError, MissingData


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.of(sp500().of_instruments(["AAPL", "MSFT"])).between("1991-01-01", "2022-12-28")


def test_shares_of_rows_follow_one_another(market: Market) -> None:
    parts = split(market, (0.6, 0.2, 0.2))
    rows = [len(part) for part in (parts.train, parts.validation, parts.test)]
    assert sum(rows) == len(market)
    assert rows[0] == round(0.6 * len(market))
    assert parts.train.panel.times[-1] < parts.validation.panel.times[0]
    assert parts.validation.panel.times[-1] < parts.test.panel.times[0]


def test_features_of_a_span_know_the_past_before_it(market: Market) -> None:
    parts = split(market)
    assert np.array_equal(parts.test.features, market.features[-len(parts.test) :])


def test_rounds_are_of_whole_years_and_tests_do_not_overlap(market: Market) -> None:
    rounds = list(walk_forward(market, 10, 2, 4))
    spans = [(part.test.panel.session_dates[0][:4], part.test.panel.session_dates[-1][:4]) for part in rounds]
    assert spans == [("2003", "2006"), ("2007", "2010"), ("2011", "2014"), ("2015", "2018"), ("2019", "2022")]
    assert all(len({date[:4] for date in part.train.panel.session_dates}) == 10 for part in rounds)
    for before, after in pairwise(rounds):
        assert before.test.panel.times[-1] < after.test.panel.times[0]
        assert after.validation.panel.times[-1] < after.test.panel.times[0]


def test_what_does_not_fit_is_named(market: Market) -> None:
    with pytest.raises(ConfigError, match="add up to 1"):
        split(market, (0.5, 0.2, 0.2))
    with pytest.raises(ConfigError, match="at least a year"):
        list(walk_forward(market, 0, 1, 1))
    with pytest.raises(MissingData, match="the years 1991 to 2022, one split takes 40"):
        list(walk_forward(market, 36, 2, 2))
    with pytest.raises(MissingData, match="too few"):
        split(market[:4])
