"""Fill rules and fractional lots through all pools of the data plane."""

import pytest

from agents.alpha.pool import build as build_alpha
from agents.execution.pool import _session_date
from agents.execution.pool import build as build_execution
from agents.execution.venue import Book, match_bar, submit
from agents.portfolio.pool import build as build_portfolio
from agents.quantities import floor_to_lot, is_whole_lots
from agents.risk.pool import build as build_risk
from schemas import OrderAccepted, OrderFilled, OrderProposed, PositionsUpdated, RiskLimits, SubmitOrder
from tests.dataplane import COMMISSION, COSTS, Plane, bar, instrument, started
from tests.unit.agents.execution.test_bar_matching import FREE, HOUR, day_bar, order

CLOSES = (100.0, 101.0, 102.0, 99.0, 96.0, 97.0, 101.0, 104.0)


def pools(fill_at="next_open"):
    return [
        build_alpha(),
        build_portfolio(initial_capital=1e6, headroom=COMMISSION + 0.02),
        build_risk(commission_rate=COMMISSION, cash_buffer=0.02),
        build_execution(COSTS, fill_at),
    ]


async def run(fill_at="next_open", volume=1e6, lot=1.0, **changed):
    name = instrument("AAA", lot_size=lot)
    plane = Plane(pools(fill_at))
    async with plane.running():
        await plane.announce(started("r", [name], limits=RiskLimits(max_daily_loss=1.0), **changed))
        await plane.publish([[bar("AAA.XNAS", day, close, volume=volume)] for day, close in enumerate(CLOSES)])
    return plane


@pytest.mark.parametrize(("fill_at", "later"), [("next_open", True), ("next_close", True), ("same_close", False)])
async def test_every_market_order_fills_where_the_rule_says(fill_at, later):
    plane = await run(fill_at)
    orders = {order.order_id: order for order in plane.of(SubmitOrder)}
    bars = {event.message.ts_event: event.message for event in plane.events("bars")}
    opens = {bar.ts_open: bar for bar in bars.values()}
    fills = plane.of(OrderFilled)
    assert len(fills) >= 3
    for fill in fills:
        decided = orders[fill.order_id].ts_event
        assert (fill.ts_event > decided) is later
        assert later or fill.ts_event == decided
        at = opens[fill.ts_event].open if fill_at == "next_open" else bars[fill.ts_event].close
        assert fill.reference_price == at


async def test_next_tick_leaves_bars_alone():
    plane = await run("next_tick")
    assert plane.of(OrderAccepted)
    assert plane.of(OrderFilled) == []


async def test_same_close_books_the_fill_with_the_next_slice_and_sizes_on_it():
    plane = await run("same_close")
    positions = plane.of(PositionsUpdated)
    first = plane.of(OrderFilled)[0]
    booked = next(update for update in positions if update.fills)
    assert booked.ts_event > first.ts_event
    assert booked.positions[0].quantity == first.quantity
    # Every proposal changes the position that the fills before it made.
    held = 0.0
    for proposal, fill in zip(plane.of(OrderProposed), plane.of(OrderFilled), strict=False):
        assert (held > 0) is (proposal.side == "SELL")
        held += fill.quantity if fill.side == "BUY" else -fill.quantity


async def test_thousandths_of_a_share_trade_in_parts_and_close_to_nothing():
    # A tenth of 1,234.5678 allows 123.456 units a bar; 20,000 at about 100 want more than that.
    plane = await run(volume=1234.5678, lot=0.001, initial_cash=20_000.0)
    fills, name = plane.of(OrderFilled), "AAA.XNAS"
    assert all(is_whole_lots(fill.quantity, 0.001) for fill in fills)
    assert {fill.quantity for fill in fills if fill.leaves_quantity} == {123.456}
    assert {order.lot_size for order in plane.of(SubmitOrder)} == {0.001}
    held = sum(fill.quantity if fill.side == "BUY" else -fill.quantity for fill in fills)
    last = plane.of(PositionsUpdated)[-1]
    units = {position.instrument_id: position.quantity for position in last.positions}
    assert units.get(name, 0.0) == pytest.approx(held, abs=1e-9)


@pytest.mark.parametrize(
    ("calendar", "sessions"), [("24/7", ["2012-01-04"] * 2), ("CMES", ["2012-01-04", "2012-01-05"])]
)
def test_trades_belong_to_the_session_of_the_orders_calendar(calendar, sessions):
    # Chicago's futures session of January 5 opens at 23:00 UTC on the 4th.
    book, day = Book(), 1_325_635_200 * 10**9
    assert _session_date(book, day + 23 * HOUR + 1) == "2012-01-04"
    submit(book, order(1).model_copy(update={"calendar": calendar}))
    assert [_session_date(book, day + hour * HOUR + 1) for hour in (20, 23)] == sessions


@pytest.mark.parametrize(
    ("quantity", "lot", "floored"),
    [
        (2.9999999999, 1, 3),
        (0.3, 0.1, 0.3),
        (-0.0019, 0.001, -0.001),
        (0.0009, 0.001, 0),
        (7.0, 1, 7),
        (1.23456789, 1e-8, 1.23456789),
        (123456.78901234, 1e-8, 123456.78901234),
        (0.7, 0.001, 0.7),
    ],
)
def test_lots_by_hand(quantity, lot, floored):
    assert floor_to_lot(quantity, lot) == pytest.approx(floored, abs=1e-12)


def test_a_part_of_whole_lots_is_of_whole_lots():
    # A tenth of 7.7775 is 0.77775: 0.777 in lots of 0.001, all of it where the order is no multiple of its lot.
    cost, lots = FREE.model_copy(update={"max_participation": 0.1}), {"lot_size": 0.001}
    for quantity, traded in ((2.5, 0.777), (2.5005, 0.77775)):
        book = Book()
        submit(book, order(1, quantity=quantity, **lots))
        (fill,) = match_bar(book, day_bar(1, volume=7.7775), cost)
        assert fill.quantity == pytest.approx(traded, abs=1e-12)
        (rest,) = match_bar(book, day_bar(2), FREE)
        assert (rest.leaves_quantity, rest.cumulative_quantity) == (0, quantity)
