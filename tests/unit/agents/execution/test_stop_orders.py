"""Stop and stop-limit orders on bars and on ticks, each rule by hand."""

import itertools

import pytest

from agents.execution.venue import Book, match_bar, match_ticks, submit
from agents.transaction_cost.model import CostModel
from schemas import OrderAccepted, OrderExpired
from tests.unit.agents.execution.test_bar_matching import FREE, close_of, day_bar
from tests.unit.agents.execution.test_bar_matching import order as plain
from tests.unit.agents.execution.test_tick_matching import block

BAR = day_bar(1)  # open 10, high 12, low 8, close 11


def order(number, side="BUY", stop=11.0, limit=None, **more):
    kind = "STOP" if limit is None else "STOP_LIMIT"
    made = plain(number, side, **more)
    return made.model_copy(update={"order_type": kind, "stop_price": stop, "limit_price": limit})


def book_with(*orders):
    book = Book()
    for item in orders:
        assert isinstance(submit(book, item), OrderAccepted)
    return book


@pytest.mark.parametrize(
    ("side", "stop", "limit", "price", "inside"),
    [
        ("BUY", 9.5, None, 10.0, False),  # the open is through the stop: the open, not the stop
        ("BUY", 10.0, None, 10.0, False),
        ("BUY", 11.5, None, 11.5, True),
        ("BUY", 12.5, None, None, False),
        ("SELL", 10.5, None, 10.0, False),
        ("SELL", 8.5, None, 8.5, True),
        ("SELL", 7.5, None, None, False),
        ("BUY", 9.5, 10.5, 10.0, False),  # triggered by the open, which is within the limit
        ("BUY", 9.5, 9.0, 9.0, True),  # triggered by the open; the low of 8 comes after it
        ("BUY", 9.5, 7.0, None, False),
        ("BUY", 11.0, 11.5, 11.0, True),  # triggered inside at 11, within the limit
        ("BUY", 11.5, 11.2, 11.2, True),  # triggered inside; the close of 11 is surely later
        ("BUY", 11.5, 9.0, None, False),  # the low of 8 may have come before the trigger
        ("SELL", 10.5, 9.5, 10.0, False),
        ("SELL", 9.0, 8.5, 9.0, True),
        ("SELL", 8.5, 10.5, 10.5, True),  # the close of 11 is surely later
        ("SELL", 8.5, 11.5, None, False),  # the high of 12 may have come before the trigger
    ],
)
def test_stops_on_a_bar(side, stop, limit, price, inside):
    reports = match_bar(book_with(order(1, side, stop, limit)), BAR, FREE)
    expected = [] if price is None else [(price, BAR.ts_event if inside else BAR.ts_open)]
    assert [(fill.price, fill.ts_event) for fill in reports] == expected


@pytest.mark.parametrize("fill_at", ["next_open", "next_close"])
def test_a_stop_trades_where_it_triggers_whatever_the_fill_rule(fill_at):
    (fill,) = match_bar(book_with(order(1, stop=11.5)), BAR, FREE, fill_at)
    assert fill.price == 11.5


def test_costs_worsen_a_stop_but_never_beyond_its_limit():
    # 100 bp of half spread: 11 x 1.01 = 11.11, with a limit of 11.05 only 0.05 of it.
    cost = FREE.model_copy(update={"half_spread_bps": 100.0})
    stop, limited, sold = match_bar(
        book_with(order(1), order(2, limit=11.05), order(3, "SELL", 9.0)), day_bar(1, volume=1e6), cost
    )
    assert (stop.price, stop.reference_price) == (pytest.approx(11.11), 11)
    assert (limited.price, limited.spread_cost) == (11.05, pytest.approx(0.5))
    assert sold.price == pytest.approx(8.91)


def test_a_triggered_stop_is_a_market_order_for_what_is_left():
    # 10 of 15 fill at the stop of 11.5; the rest at the next open, below the stop.
    cost = FREE.model_copy(update={"max_participation": 0.01})
    book = book_with(order(1, stop=11.5, quantity=15.0))
    (first,) = match_bar(book, BAR, cost)
    (rest,) = match_bar(book, day_bar(2, o=9.0), cost)
    assert [(fill.quantity, fill.price) for fill in (first, rest)] == [(10, 11.5), (5, 9)]


def test_a_bar_without_volume_triggers_and_fills_later():
    book = book_with(order(1, stop=11.5))
    assert match_bar(book, day_bar(1, volume=0.0), FREE) == []
    (fill,) = match_bar(book, day_bar(2, o=9.0), FREE)
    assert fill.price == 9


def test_a_triggered_stop_limit_is_a_limit_order_on_later_bars():
    book = book_with(order(1, stop=11.5, limit=9.0))
    assert match_bar(book, BAR, FREE) == []
    (fill,) = match_bar(book, day_bar(2, o=9.5, h=9.8, low=8.5, c=9.2), FREE)
    assert (fill.price, fill.ts_event) == (9, close_of(2))


def test_a_stop_sees_nothing_of_the_bar_that_it_was_decided_on():
    book = book_with(order(1, stop=11.5, ts=close_of(1)))
    assert match_bar(book, BAR, FREE) == []
    assert match_bar(book, day_bar(2, h=11.2), FREE) == []
    assert not book.working["o1"].triggered


def test_a_day_stop_expires_and_a_gtc_one_stays():
    book = book_with(order(1, stop=15.0, time_in_force="DAY"), order(2, stop=15.0))
    (expired,) = match_bar(book, BAR, FREE)
    assert isinstance(expired, OrderExpired)
    assert list(book.working) == ["o2"]


def test_a_book_restored_after_the_trigger_goes_on_alike():
    book = book_with(order(1, stop=11.5, limit=9.0))
    match_bar(book, BAR, FREE)
    restored = Book.model_validate_json(book.model_dump_json())
    assert restored == book
    assert match_bar(restored, BAR, FREE) == []
    assert match_bar(restored, day_bar(2), FREE) == match_bar(book, day_bar(2), FREE) != []


def ticks(item, prices, cut=None):
    book, free, whole = book_with(item), CostModel(half_spread_bps=0, impact_coefficient=0), len(prices)
    cuts = [0, cut, whole] if cut else [0, whole]
    return [
        (fill.price, fill.ts_event)
        for start, stop in itertools.pairwise(cuts)
        for fill in match_ticks(book, block(prices[start:stop], base=100 + start, seq0=start), free)
    ]


@pytest.mark.parametrize("cut", [None, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("item", "filled"),
    [
        (order(1, stop=11.0), (10.4, 103)),  # triggered by the 11.5 of row 2, filled by row 3
        (order(1, stop=12.0), None),  # triggered by the last row: nothing comes after
        (order(1, "SELL", 10.6), (11.5, 102)),
        (order(1, stop=11.0, limit=10.2), (10.1, 104)),  # later and within the limit
        (order(1, stop=11.0, limit=9.0), None),
        (order(1, "SELL", 10.6, 10.5), (11.5, 102)),
        (order(1, stop=10.0, ts=104), None),  # row 4 is not later than the decision
    ],
)
def test_a_tick_triggers_and_a_later_one_fills_however_blocks_are_cut(item, filled, cut):
    assert ticks(item, [10.8, 10.5, 11.5, 10.4, 10.1, 12.0], cut) == ([] if filled is None else [filled])
