from math import log, sqrt

import numpy as np
import pytest

from agents.execution.venue import Book, cancel, match_bar, submit
from agents.transaction_cost.model import CostModel
from schemas import (
    Bar,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    SubmitOrder,
)
from streams.errors import InvalidData
from streams.ids import derive_id, row_id

A = "AAPL.XNAS"
FREE = CostModel(commission_rate=0, half_spread_bps=0, impact_coefficient=0, max_participation=1)
HOUR = 3600 * 10**9
DAY = 24 * HOUR


def order(number, side="BUY", quantity=10.0, ts=0, **more):
    fields = {"instrument_id": A, "currency": "USD", "multiplier": 1.0, "time_in_force": "GTC"} | more
    if "limit_price" in more:
        fields["order_type"] = "LIMIT"
    return SubmitOrder(
        run_id="r",
        strategy_id="s",
        account_id="a",
        side=side,
        quantity=quantity,
        proposal_id=f"p{number}",
        signal_id="sig",
        reference_price=10,
        ts_event=ts,
        order_id=f"o{number}",
        calendar="XNYS",
        **fields,
    )


def day_bar(day, o=10.0, h=12.0, low=8.0, c=11.0, volume=1000.0, **more):
    """A session from 14:00 to 21:00 on January `day`."""
    return Bar(
        instrument_id=A,
        interval="1d",
        ts_open=day * DAY + 14 * HOUR,
        ts_event=day * DAY + 21 * HOUR,
        session_date=f"2012-01-{day:02}",
        open=o,
        high=h,
        low=low,
        close=c,
        volume=volume,
        adjustment="raw",
        source="test",
        synthetic=False,
        **more,
    )


def hour_bar(day, hour, **prices):
    opened = day * DAY + hour * HOUR
    return day_bar(day, **prices).model_copy(update={"interval": "1h", "ts_open": opened, "ts_event": opened + HOUR})


def close_of(day):
    return day_bar(day).ts_event


@pytest.fixture
def book():
    return Book()


def place(book, *orders):
    for item in orders:
        assert isinstance(submit(book, item), OrderAccepted)


def test_submit_accepts_once_and_says_what(book):
    report = submit(book, order(1, ts=5))
    assert (report.order_id, report.quantity, report.ts_event, report.side) == ("o1", 10, 5, "BUY")
    assert submit(book, order(1, ts=5)) is None
    match_bar(book, day_bar(1), FREE)
    assert book.working == {}
    assert submit(book, order(1, ts=5)) is None


def test_submit_rejects_another_currency_or_instrument_once(book):
    place(book, order(1))
    report = submit(book, order(2, currency="EUR"))
    assert isinstance(report, OrderRejected)
    assert "USD, not EUR" in report.reason
    assert submit(book, order(2, currency="EUR")) is None
    assert isinstance(submit(book, order(3, instrument_id="MSFT.XNAS")), OrderRejected)
    assert list(book.working) == ["o1"]


def test_an_order_decided_at_a_close_fills_at_the_next_open(book):
    place(book, order(1, ts=close_of(3)))
    assert match_bar(book, day_bar(3), FREE) == []
    (fill,) = match_bar(book, day_bar(4, o=10.5), FREE)
    assert isinstance(fill, OrderFilled)
    assert (fill.price, fill.reference_price, fill.ts_event) == (10.5, 10.5, day_bar(4).ts_open)
    assert (fill.quantity, fill.cumulative_quantity, fill.leaves_quantity) == (10, 10, 0)
    assert fill.fill_id == derive_id("o1", "execution", 0)
    assert fill.data_id == row_id("test", A, "1d", close_of(4), 0)
    assert (fill.currency, fill.multiplier, fill.synthetic) == ("USD", 1, False)


def test_a_bar_that_opens_at_the_decision_takes_part_an_earlier_one_does_not(book):
    place(book, order(1, ts=hour_bar(1, 15).ts_open))
    assert match_bar(book, hour_bar(1, 14), FREE) == []
    assert len(match_bar(book, hour_bar(1, 15), FREE)) == 1


def test_next_close_fills_at_the_close(book):
    place(book, order(1, ts=close_of(3)))
    (fill,) = match_bar(book, day_bar(4, c=11.5), FREE, "next_close")
    assert (fill.price, fill.ts_event) == (11.5, close_of(4))


def test_costs_worsen_the_price_both_ways(book):
    # Range 12 : 8 gives Parkinson ln(1.5) / sqrt(4 ln 2); 10 of 1,000 units are sqrt(0.01) of it, times 0.5.
    cost = CostModel(commission_rate=0.001, half_spread_bps=5, impact_coefficient=0.5)
    impact = 0.5 * log(1.5) / sqrt(4 * log(2)) * 0.1
    place(book, order(1), order(2, "SELL"))
    buy, sell = match_bar(book, day_bar(1), cost)
    assert buy.price == pytest.approx(10 * (1 + 0.0005 + impact))
    assert sell.price == pytest.approx(10 * (1 - 0.0005 - impact))
    assert (buy.spread_cost, buy.impact_cost) == (pytest.approx(0.05), pytest.approx(100 * impact))
    assert buy.commission == pytest.approx(10 * buy.price * 0.001)
    assert buy.reference_price == 10


def test_impact_uses_twenty_closes_once_they_are_there(book):
    closes = [10 + (day % 2) for day in range(1, 21)]
    for day, close in enumerate(closes, 1):
        match_bar(book, day_bar(day, c=float(close)), FREE)
    place(book, order(1))
    (fill,) = match_bar(book, day_bar(21, c=9.0), CostModel(half_spread_bps=0, impact_coefficient=1))
    expected = np.std(np.diff(np.log(closes)), ddof=1) * 0.1
    assert fill.price == pytest.approx(10 * (1 + expected))
    assert len(book.closes["1d"]) == 20


def test_partial_fills_share_a_bars_volume_in_order_of_submission(book):
    # A tenth of 1,055 is 105.5: 80 for the first, 25 whole units for the second; the rest on the next bar.
    cost = FREE.model_copy(update={"max_participation": 0.1})
    place(book, order(1, quantity=80.0), order(2, quantity=60.0), order(3, quantity=5.0))
    first, second = match_bar(book, day_bar(1, volume=1055.0), cost)
    assert (first.order_id, first.quantity, first.leaves_quantity) == ("o1", 80, 0)
    assert (second.order_id, second.quantity, second.cumulative_quantity, second.leaves_quantity) == ("o2", 25, 25, 35)
    rest, third = match_bar(book, day_bar(2), cost)
    assert (rest.quantity, rest.cumulative_quantity, rest.leaves_quantity) == (35, 60, 0)
    assert rest.fill_id == derive_id("o2", "execution", 1)
    assert third.order_id == "o3"


def test_fractions_trade_in_any_share(book):
    cost = FREE.model_copy(update={"max_participation": 0.1})
    place(book, order(1, quantity=2.5))
    (fill,) = match_bar(book, day_bar(1, volume=7.0), cost)
    assert (fill.quantity, fill.leaves_quantity) == (pytest.approx(0.7), pytest.approx(1.8))


def test_a_bar_without_volume_fills_nothing(book):
    place(book, order(1))
    assert match_bar(book, day_bar(1, volume=0.0), FREE) == []


@pytest.mark.parametrize(
    ("side", "limit", "price", "inside"),
    [
        ("BUY", 10.5, 10.0, False),  # the open is better
        ("BUY", 9.0, 9.0, True),  # the low of 8 reaches it
        ("BUY", 7.5, None, False),
        ("SELL", 9.5, 10.0, False),
        ("SELL", 11.5, 11.5, True),  # the high of 12 reaches it
        ("SELL", 12.5, None, False),
    ],
)
def test_limits(book, side, limit, price, inside):
    place(book, order(1, side, limit_price=limit))
    bar = day_bar(1)
    reports = match_bar(book, bar, FREE)
    assert [(fill.price, fill.ts_event) for fill in reports] == (
        [] if price is None else [(price, bar.ts_event if inside else bar.ts_open)]
    )


def test_costs_never_go_beyond_a_limit(book):
    # 100 bp of half spread would make 10.1; the limit leaves 0.03, all of it spread. Inside the bar nothing is added.
    cost = CostModel(commission_rate=0.01, half_spread_bps=100, impact_coefficient=1)
    place(book, order(1, limit_price=10.03), order(2, "SELL", limit_price=11.0))
    buy, sell = match_bar(book, day_bar(1), cost)
    assert (buy.price, buy.reference_price) == (10.03, 10)
    assert (buy.spread_cost, buy.impact_cost) == (pytest.approx(0.3), pytest.approx(0, abs=1e-12))
    assert buy.commission == pytest.approx(1.003)
    assert (sell.price, sell.reference_price, sell.spread_cost, sell.impact_cost) == (11, 11, 0, 0)


def test_reports_come_in_time_order(book):
    place(book, order(1, limit_price=9.0), order(2))
    reports = match_bar(book, day_bar(1), FREE)
    assert [report.order_id for report in reports] == ["o2", "o1"]


def test_a_day_order_expires_with_its_daily_bar(book):
    cost = FREE.model_copy(update={"max_participation": 0.01})
    place(book, order(1, quantity=15.0, ts=close_of(3), time_in_force="DAY"))
    assert match_bar(book, day_bar(3), cost) == []
    fill, expired = match_bar(book, day_bar(4), cost)
    assert (fill.quantity, fill.leaves_quantity) == (10, 5)
    assert isinstance(expired, OrderExpired)
    assert (expired.quantity, expired.ts_event) == (5, close_of(4))
    assert match_bar(book, day_bar(5), cost) == []


def test_a_day_order_expires_on_the_first_intraday_bar_of_a_later_session(book):
    place(book, order(1, ts=hour_bar(3, 15).ts_event, limit_price=7.0, time_in_force="DAY"), order(2, limit_price=7.0))
    for hour in (16, 17):
        assert match_bar(book, hour_bar(3, hour), FREE) == []
    (expired,) = match_bar(book, hour_bar(4, 14), FREE)
    assert (expired.order_id, expired.ts_event) == ("o1", hour_bar(3, 17).ts_event)
    assert list(book.working) == ["o2"]


def test_a_day_order_decided_after_the_last_bar_lives_in_the_next_session(book):
    match_bar(book, hour_bar(3, 20), FREE)
    place(book, order(1, ts=hour_bar(3, 20).ts_event, limit_price=7.0, time_in_force="DAY"))
    assert match_bar(book, hour_bar(4, 14), FREE) == []
    assert [r.ts_event for r in match_bar(book, hour_bar(5, 14), FREE)] == [hour_bar(4, 14).ts_event]


def test_cancel_withdraws_what_is_open(book):
    command = CancelOrder(order_id="o1", run_id="r", account_id="a", instrument_id=A, reason="kill", ts_event=9)
    assert cancel(book, command) is None
    place(book, order(1, quantity=20.0))
    match_bar(book, day_bar(1, volume=15.0), FREE)
    report = cancel(book, command)
    assert isinstance(report, OrderCanceled)
    assert (report.quantity, report.reason, report.ts_event) == (5, "kill", 9)
    assert cancel(book, command) is None
    assert match_bar(book, day_bar(2), FREE) == []


def test_the_last_bar_once_more_gives_nothing(book):
    place(book, order(1, quantity=20.0))
    match_bar(book, day_bar(1, volume=15.0), FREE)
    before = book.model_copy(deep=True)
    assert match_bar(book, day_bar(1, volume=15.0), FREE) == []
    assert book == before


def test_time_going_backwards_and_other_instruments_are_refused(book):
    match_bar(book, day_bar(2), FREE)
    with pytest.raises(InvalidData, match="goes back behind"):
        match_bar(book, day_bar(1), FREE)
    with pytest.raises(InvalidData, match=r"book of AAPL.XNAS got a row of MSFT.XNAS"):
        match_bar(book, day_bar(3).model_copy(update={"instrument_id": "MSFT.XNAS"}), FREE)


def test_a_restored_book_goes_on_alike(book):
    place(book, order(1, quantity=20.0, time_in_force="DAY"), order(2, limit_price=9.0))
    match_bar(book, hour_bar(1, 14, volume=15.0), FREE)
    restored = Book.model_validate_json(book.model_dump_json())
    assert restored == book
    assert match_bar(restored, hour_bar(1, 15), FREE) == match_bar(book, hour_bar(1, 15), FREE)


def test_prefixes_make_the_same_fills():
    # Fills up to bar 5 do not depend on what comes after.
    def run(days):
        book, reports = Book(), []
        for day in range(1, days + 1):
            reports += match_bar(book, day_bar(day, o=9.0 + day / 10, volume=40.0), CostModel())
            submit(book, order(day, quantity=7.0, ts=close_of(day), time_in_force="DAY"))
        return reports

    assert run(9)[: len(run(5))] == run(5)
