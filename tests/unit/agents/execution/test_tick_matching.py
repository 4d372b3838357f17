from math import log, sqrt

import numpy as np
import pytest

from agents.execution.ticks import WINDOW_ROWS
from agents.execution.venue import Book, match_ticks, submit
from agents.transaction_cost.model import CostModel
from schemas import OrderExpired, SubmitOrder, TickBlock
from streams.errors import InvalidData
from streams.ids import row_id

A = "AAPL.XNAS"
FREE = CostModel(commission_rate=0, half_spread_bps=0, impact_coefficient=0)


def order(number, side="BUY", quantity=10.0, ts=0, **more):
    fields = {"time_in_force": "GTC", "order_type": "LIMIT" if "limit_price" in more else "MARKET"} | more
    return SubmitOrder(
        run_id="r",
        strategy_id="s",
        account_id="a",
        instrument_id=A,
        side=side,
        quantity=quantity,
        proposal_id=f"p{number}",
        signal_id="sig",
        reference_price=10,
        ts_event=ts,
        order_id=f"o{number}",
        currency="USD",
        multiplier=1,
        calendar="24/7",
        **fields,
    )


def block(prices, base=100, step=1, seq0=0, sizes=None):
    n = len(prices)
    return TickBlock(
        instrument_id=A,
        source="test",
        synthetic=True,
        base_ts=base,
        seq0=seq0,
        dt_ns=np.arange(n) * float(step),
        price=prices,
        size=sizes if sizes is not None else np.ones(n),
        side=np.zeros(n, dtype=int),
    )


def book_with(*orders):
    book = Book()
    for item in orders:
        submit(book, item)
    return book


def test_a_market_order_fills_whole_at_the_first_later_tick():
    book = book_with(order(1, ts=101))
    (fill,) = match_ticks(book, block([10, 11, 12, 13]), FREE)
    assert (fill.price, fill.ts_event, fill.quantity, fill.leaves_quantity) == (12, 102, 10, 0)
    assert fill.data_id == row_id("test", A, "tick", 102, 2)
    assert fill.synthetic


def test_no_fill_at_the_instant_of_the_decision():
    book = book_with(order(1, ts=103))
    assert match_ticks(book, block([10, 11, 12, 13]), FREE) == []
    (fill,) = match_ticks(book, block([14], base=104, seq0=4), FREE)
    assert fill.price == 14


def test_limits_wait_for_their_price():
    book = book_with(order(1, limit_price=9.5, ts=100), order(2, "SELL", limit_price=10.5), order(3, limit_price=5.0))
    reports = match_ticks(book, block([9.0, 10.0, 11.0, 9.25, 9.0]), FREE)
    assert [(r.order_id, r.price, r.ts_event) for r in reports] == [("o2", 11, 102), ("o1", 9.25, 103)]
    assert list(book.working) == ["o3"]


def test_costs_worsen_the_price_but_never_beyond_a_limit():
    # 100 bp on 10: 10.1 for the market order, 10.05 for the limit.
    cost = CostModel(commission_rate=0.01, half_spread_bps=100, impact_coefficient=1)
    market, limit = match_ticks(book_with(order(1), order(2, limit_price=10.05)), block([10.0]), cost)
    assert (market.price, market.spread_cost, market.impact_cost) == (pytest.approx(10.1), pytest.approx(1.0), 0)
    assert (limit.price, limit.spread_cost) == (10.05, pytest.approx(0.5))
    assert limit.commission == pytest.approx(1.005)


def test_impact_takes_the_last_complete_window():
    # 1000 ticks of 2 units between 8 and 12: Parkinson ln(1.5) / sqrt(4 ln 2), volume 2000; 20 units are sqrt(0.01).
    book, prices = Book(), np.full(WINDOW_ROWS, 10.0)
    prices[[3, 7]] = 8, 12
    cost = CostModel(commission_rate=0, half_spread_bps=0, impact_coefficient=0.5)
    match_ticks(book, block(prices, sizes=np.full(WINDOW_ROWS, 2.0)), cost)
    submit(book, order(1, quantity=20.0))
    (fill,) = match_ticks(book, block([10.0], base=2000, seq0=2000), cost)
    assert fill.price == pytest.approx(10 * (1 + 0.5 * log(1.5) / sqrt(4 * log(2)) * 0.1))


def test_cutting_blocks_differently_changes_nothing():
    rng = np.random.default_rng(5)
    prices, sizes = rng.uniform(9, 11, 3500), rng.uniform(0, 3, 3500)
    orders = [order(n, "BUY" if n % 2 else "SELL", ts=100 + 300 * n) for n in range(10)]
    orders += [order(20, limit_price=9.01, ts=900), order(21, "SELL", limit_price=10.99, ts=2200)]

    def run(cuts):
        book, reports = book_with(*orders), []
        for start, stop in zip([0, *cuts], [*cuts, 3500], strict=True):
            part = block(prices[start:stop], base=100 + start, seq0=start, sizes=sizes[start:stop])
            reports += match_ticks(book, part, CostModel())
        return reports, book

    whole = run([])
    assert len(whole[0]) == 12
    assert run([1, 999, 1000, 1001, 2600]) == whole
    assert run(list(range(100, 3500, 100))) == whole


def test_day_orders_expire_where_sessions_are_given():
    book = book_with(order(1, limit_price=5.0, time_in_force="DAY"))
    assert match_ticks(book, block([10, 11]), FREE, "2012-01-03") == []
    (expired,) = match_ticks(book, block([4.0], base=500, seq0=2), FREE, "2012-01-04")
    assert isinstance(expired, OrderExpired)
    assert (expired.ts_event, expired.quantity) == (101, 10)


def test_without_sessions_a_day_order_works_on():
    book = book_with(order(1, limit_price=5.0, time_in_force="DAY"))
    assert match_ticks(book, block([10, 11]), FREE) == []
    assert len(match_ticks(book, block([4.0], base=500, seq0=2), FREE)) == 1


def test_the_last_block_once_more_gives_nothing():
    book = book_with(order(1, limit_price=5.0))
    match_ticks(book, block([10, 11]), FREE)
    before = book.model_copy(deep=True)
    assert match_ticks(book, block([10, 11]), FREE) == []
    assert book == before


def test_overlaps_and_time_going_backwards_are_refused():
    book = Book()
    match_ticks(book, block([10, 11]), FREE)
    for bad in (block([10, 11, 12]), block([9], base=50, seq0=9), block([9], base=101, seq0=0)):
        with pytest.raises(InvalidData, match="goes back behind"):
            match_ticks(book, bad, FREE)
    assert match_ticks(book, block([9], base=101, seq0=2), FREE) == []


def test_ticks_without_volume_keep_the_last_known_window():
    book = Book()
    match_ticks(book, block(np.full(WINDOW_ROWS, 10.0)), FREE)
    match_ticks(book, block(np.full(WINDOW_ROWS, 10.0), base=5000, seq0=1000, sizes=np.zeros(WINDOW_ROWS)), FREE)
    assert book.ticks.last_volume == WINDOW_ROWS
