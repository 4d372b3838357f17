"""Orders that fill at the close that they were decided on."""

import pytest

from agents.execution.venue import Book, fill_same_close, match_bar, submit
from schemas import OrderAccepted, OrderExpired
from tests.unit.agents.execution.test_bar_matching import FREE, close_of, day_bar, hour_bar, order

COST = FREE.model_copy(update={"max_participation": 0.01})


def decided(book, item, cost=FREE):
    assert isinstance(submit(book, item), OrderAccepted)
    return fill_same_close(book, item.order_id, cost)


@pytest.fixture
def book():
    book = Book()
    match_bar(book, day_bar(3), FREE, "same_close")
    return book


def test_an_order_fills_at_the_close_that_it_was_decided_on(book):
    (fill,) = decided(book, order(1, ts=close_of(3)))
    # The fill says so: it happened when the order was made, on the row that the order was made on.
    assert (fill.price, fill.ts_event) == (11, close_of(3))
    assert book.working == {}
    assert fill_same_close(book, "o1", FREE) == []


def test_an_order_without_such_a_bar_goes_on_to_the_next_close(book):
    assert decided(book, order(1, ts=close_of(3) + 1)) == []
    (fill,) = match_bar(book, day_bar(4, c=11.5), FREE, "same_close")
    assert (fill.price, fill.ts_event) == (11.5, close_of(4))


@pytest.mark.parametrize("fill_at", ["next_open", "next_close"])
def test_no_other_rule_fills_on_the_same_bar(fill_at):
    book = Book()
    match_bar(book, day_bar(3), FREE, fill_at)
    assert decided(book, order(1, ts=close_of(3))) == []


def test_what_is_left_of_the_bars_volume_is_shared():
    # 1 % of 1,000 is 10: 4 go to an order that the bar met, 6 of 8 to the new one; the rest at the next close.
    book = Book()
    submit(book, order(1, quantity=4.0))
    assert [fill.quantity for fill in match_bar(book, day_bar(3), COST, "same_close")] == [4]
    (first,) = decided(book, order(2, quantity=8.0, ts=close_of(3)), COST)
    assert decided(book, order(3, ts=close_of(3)), COST) == []
    assert (first.quantity, first.leaves_quantity) == (6, 2)
    rest = match_bar(book, day_bar(4, c=9.0), COST, "same_close")
    assert [(fill.order_id, fill.quantity, fill.price) for fill in rest] == [("o2", 2, 9), ("o3", 8, 9)]


def test_a_limit_or_stop_that_the_close_does_not_reach_works_on(book):
    assert decided(book, order(1, ts=close_of(3), limit_price=10.0)) == []
    stop = order(2, ts=close_of(3)).model_copy(update={"order_type": "STOP", "stop_price": 11.5})
    assert decided(book, stop) == []
    bar = day_bar(4, o=10.5, h=11.8, low=9.5, c=10.6)
    fills = match_bar(book, bar, FREE, "same_close")
    assert [(fill.order_id, fill.price) for fill in fills] == [("o1", 10), ("o2", 11.5)]


def test_a_limit_or_stop_that_the_close_reaches_fills_at_the_close(book):
    (limited,) = decided(book, order(1, ts=close_of(3), limit_price=11.0))
    stop = order(2, ts=close_of(3)).model_copy(update={"order_type": "STOP", "stop_price": 10.5})
    (stopped,) = decided(book, stop)
    assert (limited.price, stopped.price) == (11, 11)


def test_a_day_order_ends_with_the_day_that_it_was_decided_on():
    book = Book()
    match_bar(book, day_bar(3), COST, "same_close")
    fill, expired = decided(book, order(1, quantity=15.0, ts=close_of(3), time_in_force="DAY"), COST)
    assert (fill.quantity, expired.quantity, expired.ts_event) == (10, 5, close_of(3))
    assert isinstance(expired, OrderExpired)


def test_an_intraday_day_order_works_until_its_session_ends():
    book = Book()
    bar = hour_bar(3, 15)
    match_bar(book, bar, COST, "same_close")
    assert len(decided(book, order(1, quantity=15.0, ts=bar.ts_event, time_in_force="DAY"), COST)) == 1
    (expired,) = match_bar(book, hour_bar(4, 14), COST, "same_close")
    assert (expired.quantity, expired.ts_event) == (5, bar.ts_event)


def test_a_restored_book_fills_alike(book):
    restored = Book.model_validate_json(book.model_dump_json())
    assert restored == book
    assert decided(restored, order(1, ts=close_of(3))) == decided(book, order(1, ts=close_of(3)))
    assert match_bar(book, day_bar(3), FREE, "same_close") == []


def test_the_last_bar_once_more_keeps_what_is_left_of_it():
    book = Book()
    match_bar(book, day_bar(3), COST, "same_close")
    decided(book, order(1, quantity=7.0, ts=close_of(3)), COST)
    assert match_bar(book, day_bar(3), COST, "same_close") == []
    (fill,) = decided(book, order(2, quantity=7.0, ts=close_of(3)), COST)
    assert fill.quantity == 3
