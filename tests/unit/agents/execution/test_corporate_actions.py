"""Dividends and splits at the venue, in both books, in alpha and through the feed."""

import pytest
from pydantic import ValidationError

from agents.execution.venue import Book, act, cancel, match_bar, match_ticks, submit
from agents.orders import OpenOrder
from agents.portfolio import actions, construction
from agents.portfolio import ledger as books
from agents.portfolio.ledger import Ledger
from agents.risk import actions as risk_actions
from agents.risk import limits as risk
from agents.risk.limits import RiskAccount
from agents.transaction_cost.model import CostModel
from schemas import CancelOrder, CorporateAction, OrderExpired, OrderFilled, PositionsUpdated, RiskLimits, Signal
from streams.errors import InvalidData
from tests.dataplane import SERDE, START, Plane, bar, instrument, started
from tests.unit.agents.execution.test_bar_matching import FREE, close_of, day_bar, hour_bar, order
from tests.unit.agents.execution.test_tick_matching import block
from tests.unit.agents.portfolio.test_ledger import accepted, filled
from tests.unit.agents.portfolio.test_ledger import started as ledger_run

A = "AAPL.XNAS"
DAY_NS = 86_400 * 10**9


def action(day, *, ratio=None, amount=None, sequence=0, name=A, ts=None):
    return CorporateAction(
        instrument_id=name,
        kind="split" if ratio else "dividend",
        ratio=ratio,
        amount=amount,
        ex_date=f"2012-01-{day:02}",
        ts_event=day_bar(day).ts_open if ts is None else ts,
        source="test",
        synthetic=True,
        sequence=sequence,
    )


def test_an_action_is_a_dividend_or_a_split():
    fields = action(4, ratio=2.0).model_dump()
    for wrong in ({"kind": "dividend"}, {"ratio": None}, {"amount": 1.0}):
        with pytest.raises(ValidationError, match="a dividend has an amount, a split a ratio"):
            CorporateAction(**{**fields, **wrong})
    assert SERDE.decode(SERDE.encode(action(4, ratio=0.1))) == action(4, ratio=0.1)


def test_a_split_adjusts_what_is_left_of_an_order():
    # 4 of 10 at 9 are filled; a 4:1 split leaves 24 of 40 at 2.25, and the next fill counts on from 16.
    book = Book()
    submit(book, order(1, limit_price=9.0))
    (first,) = match_bar(book, day_bar(3, volume=4.0), FREE)
    assert act(book, action(4, ratio=4.0)) == []
    working = book.working["o1"]
    assert (working.order.quantity, working.order.limit_price, working.leaves, working.cumulative) == (40, 2.25, 24, 16)
    (rest,) = match_bar(book, day_bar(4, o=2.5, h=3, low=2, c=2.75), FREE)
    assert (rest.price, rest.quantity, rest.cumulative_quantity, rest.leaves_quantity) == (2.25, 24, 40, 0)
    assert first.quantity == 4


def test_a_split_adjusts_stops_and_orders_for_the_coming_session():
    book = Book()
    stop = order(1, ts=close_of(3)).model_copy(update={"order_type": "STOP", "stop_price": 12.0})
    for item in (stop, order(2, ts=close_of(3), time_in_force="DAY")):
        submit(book, item)
    match_bar(book, day_bar(3), FREE)
    assert act(book, action(4, ratio=4.0)) == []
    market, stopped = match_bar(book, day_bar(4, o=2.5, h=3.1, low=2, c=2.75), FREE)
    assert [(fill.order_id, fill.price, fill.quantity) for fill in (market, stopped)] == [
        ("o2", 2.5, 40),
        ("o1", 3, 40),
    ]


def test_day_orders_of_the_session_before_expire_first():
    book = Book()
    submit(book, order(1, ts=hour_bar(3, 15).ts_open, limit_price=7.0, time_in_force="DAY"))
    match_bar(book, hour_bar(3, 15), FREE)
    (expired,) = act(book, action(4, ratio=4.0))
    assert isinstance(expired, OrderExpired)
    assert (expired.quantity, expired.ts_event) == (10, hour_bar(3, 15).ts_event)


def test_a_dividend_leaves_orders_alone():
    book = Book()
    submit(book, order(1, limit_price=7.0))
    before = book.working["o1"].model_copy(deep=True)
    assert act(book, action(4, amount=1.5)) == []
    assert book.working["o1"] == before


def test_impact_sees_the_market_on_the_new_scale():
    def volatility(split):
        book = Book()
        for day in range(1, 23):
            match_bar(book, day_bar(day, c=10 + day % 2), FREE)
        scale = 4.0 if split else 1.0
        if split:
            act(book, action(23, ratio=4.0))
        submit(book, order(1, quantity=10 * scale))
        prices = {name: value / scale for name, value in {"o": 10.0, "h": 12.0, "low": 8.0, "c": 11.0}.items()}
        cost = CostModel(impact_coefficient=1)
        (fill,) = match_bar(book, day_bar(23, volume=1000 * scale, **prices), cost)
        return fill.price * scale

    assert volatility(True) == pytest.approx(volatility(False))


def test_the_tick_window_is_on_the_new_scale():
    book = Book()
    match_ticks(book, block([10.0, 12.0, 8.0]), FREE)
    act(book, action(4, ratio=2.0))
    assert (book.ticks.high, book.ticks.low, book.ticks.volume, book.ticks.rows) == (6, 4, 6, 3)


def test_an_action_counts_once_at_the_venue():
    book = Book()
    submit(book, order(1, limit_price=7.0))
    act(book, action(4, ratio=4.0))
    before = book.model_copy(deep=True)
    assert act(book, action(4, ratio=4.0)) == []
    assert book == before
    assert Book.model_validate_json(book.model_dump_json()) == book
    with pytest.raises(InvalidData, match="goes back behind"):
        act(book, action(3, ratio=2.0))


@pytest.mark.parametrize("adjusted_first", [True, False])
def test_adjusted_bars_and_actions_are_never_mixed_at_the_venue(adjusted_first):
    book, adjusted = Book(), day_bar(3).model_copy(update={"adjustment": "split"})
    if adjusted_first:
        match_bar(book, adjusted, FREE)
        with pytest.raises(InvalidData, match="has adjusted bars: a split would count twice"):
            act(book, action(4, ratio=4.0))
    else:
        act(book, action(2, ratio=4.0))
        with pytest.raises(InvalidData, match="has corporate actions, which take raw bars: got split"):
            match_bar(book, adjusted, FREE)


@pytest.fixture
def both():
    ledger, account = Ledger(), RiskAccount()
    books.register(ledger, ledger_run(cash=10_000.0))
    risk.register(account, ledger_run(cash=10_000.0))
    return ledger, account


def apply(both, *reports):
    for report in reports:
        assert books.apply(both[0], report)
        assert risk.apply(both[1], report)
    books.check_balance(both[0])


def acts(both, what):
    answers = (actions.act(both[0], what), risk_actions.act(both[1], what))
    books.check_balance(both[0])
    assert risk.equity(both[1]) == pytest.approx(books.equity(both[0]))
    return answers


def test_a_dividend_is_paid_on_what_is_held_and_charged_to_shorts(both):
    apply(both, accepted("o", "BUY", 100), filled("o", "BUY", 100, 20))
    assert acts(both, action(4, amount=0.5)) == (True, True)
    assert (both[0].cash, both[0].dividends, books.equity(both[0])) == (8050, 50, 10_050)
    apply(both, accepted("p", "SELL", 300), filled("p", "SELL", 300, 20))
    acts(both, action(5, amount=0.25))
    assert (both[0].cash, both[0].dividends) == (8050 + 6000 - 50, 0)
    update = books.snapshot(both[0], 9)
    earned = update.realised_pnl + update.unrealised_pnl - update.commission + update.interest + update.dividends
    assert update.equity == update.deposits + earned


def test_a_split_keeps_equity_and_scales_units_prices_and_orders(both):
    apply(both, accepted("o", "BUY", 100), filled("o", "BUY", 100, 20), accepted("p", "SELL", 50))
    for state in both:
        state.orders.open["p"] = OpenOrder(
            run_id="run", instrument_id=A, leaves=-30, cumulative=20, price=24, status="PARTIALLY_FILLED"
        )
    before = books.equity(both[0])
    assert acts(both, action(4, ratio=4.0)) == (True, True)
    holding = both[0].positions[A]
    assert (holding.quantity, holding.average_price, both[0].marks[A], books.equity(both[0])) == (400, 5, 5, before)
    assert both[0].runs == both[1].run_positions == {"run": {A: 400}}
    for state in both:
        open_order = state.orders.open["p"]
        assert (open_order.leaves, open_order.cumulative, open_order.price) == (-120, 80, 6)
    apply(both, filled("p", "SELL", 120, 5, cumulative=200))
    assert both[0].positions[A].quantity == 280


def test_actions_count_once_and_in_order(both):
    apply(both, accepted("o", "BUY", 100), filled("o", "BUY", 100, 20))
    # 1 per old unit, then 2:1, then 0.25 per new one: 100 + 50.
    day = (action(4, amount=1.0), action(4, ratio=2.0, sequence=1), action(4, amount=0.25, sequence=2))
    for what in day:
        assert acts(both, what) == (True, True)
        before = [state.model_copy(deep=True) for state in both]
        assert acts(both, what) == acts(both, day[0]) == (False, False)
        assert list(both) == before
    assert (both[0].dividends, both[0].positions[A].quantity) == (150, 200)
    assert [type(state).model_validate_json(state.model_dump_json()) for state in both] == list(both)


def test_a_dividend_is_no_loss_of_the_session(both):
    account = both[1]
    risk.mark(account, A, 20.0, "2012-01-03")
    apply(both, accepted("o", "BUY", 500), filled("o", "BUY", 500, 20))
    risk_actions.act(account, action(4, amount=5.0))
    assert (account.session, account.session_start_equity) == ("2012-01-04", 10_000)
    risk.mark(account, A, 15.0, "2012-01-04")
    assert risk.equity(account) == 10_000
    assert risk.end_of_marks(account, 9) == []


def test_a_fraction_that_a_split_left_is_sold_with_the_rest(both):
    # 101 units after 3:2 are 151.5 in lots of 1.
    ledger, run = both[0], ledger_run(cash=10_000.0)
    apply(both, accepted("o", "BUY", 101), filled("o", "BUY", 101, 20))
    acts(both, action(4, ratio=1.5))
    signal = {"run_id": "run", "strategy_id": "s", "account_id": "acc", "instrument_id": A, "score": 0, "model": "m"}
    sell = Signal(**signal, signal="SELL", confidence=1, price=10, ts_event=7)
    (proposal,) = construction.propose(ledger, run, [("x", sell)], 7)
    assert (proposal.side, proposal.quantity) == ("SELL", 151.5)


def test_a_canceled_order_tells_the_new_units():
    book = Book()
    submit(book, order(1, limit_price=7.0))
    act(book, action(4, ratio=4.0))
    command = CancelOrder(order_id="o1", run_id="r", account_id="a", instrument_id=A, reason="x", ts_event=close_of(4))
    assert cancel(book, command).quantity == 40


CLOSES = (100.0, 101.0, 104.0, 102.0, 108.0, 103.0, 99.0, 96.0, 101.0, 107.0)


def opened(day):
    return START + day * DAY_NS


async def run(split, parameters, **changed):
    """Trade over a 4:1 split before day 5, in raw prices with the action or in adjusted ones without."""
    plane, name, slices = Plane(), "AAA.XNAS", []
    for day, close in enumerate(CLOSES):
        scale = 1.0 if split and day < 5 else 4.0
        row = bar(name, day, close / scale, high=(close + 1) / scale, low=(close - 1) / scale, volume=4e5 * scale)
        slices.append([row.model_copy(update={"adjustment": "raw" if split else "split"})])
    if split:
        slices[5].insert(0, action(6, ratio=4.0, name=name, ts=opened(5)))
    limits, traded = RiskLimits(max_daily_loss=1.0, allow_short=True), [instrument("AAA", lot_size=1e-6)]
    async with plane.running():
        await plane.announce(started("r", traded, limits=limits, parameters=parameters, **changed))
        await plane.publish(slices)
    assert plane.letters("bars") == []
    return plane


@pytest.mark.parametrize(
    ("kind", "own"), [("momentum", {}), ("ema_cross", {"fast": 1, "slow": 3}), ("mean_reversion", {})]
)
async def test_raw_prices_with_a_split_trade_like_adjusted_ones(kind, own):
    parameters = {"position_size": 0.4, "rebalance_band": 0.0, **own}
    raw, adjusted = [await run(split, parameters, strategy_type=kind) for split in (True, False)]
    assert [signal.signal for signal in raw.of(Signal)] == [signal.signal for signal in adjusted.of(Signal)]
    assert len(raw.of(OrderFilled)) == len(adjusted.of(OrderFilled)) >= 2
    for one, other in zip(raw.of(PositionsUpdated), adjusted.of(PositionsUpdated), strict=True):
        assert one.equity == pytest.approx(other.equity, rel=1e-8)


async def test_a_dividend_reaches_the_positions_and_the_account_of_risk():
    plane, name = Plane(), "AAA.XNAS"
    slices = [[bar(name, day, close)] for day, close in enumerate(CLOSES)]
    slices[4].insert(0, action(5, amount=1.0, name=name, ts=opened(4)))
    async with plane.running():
        await plane.announce(started("r", [instrument("AAA")], limits=RiskLimits(max_daily_loss=1.0)))
        await plane.publish(slices)
    updates = plane.of(PositionsUpdated)
    held = updates[3].positions[0].quantity
    assert held > 0
    assert [update.dividends for update in updates[3:5]] == [0, held]
    assert updates[-1].dividends == held


async def test_the_feed_refuses_actions_with_adjusted_bars_or_out_of_their_slice():
    name, plane = "AAA.XNAS", Plane()
    adjusted = [bar(name, day, 100.0).model_copy(update={"adjustment": "split"}) for day in range(3)]
    async with plane.running():
        await plane.feed.publish([[adjusted[0]]])
        with pytest.raises(InvalidData, match="has split bars and corporate actions"):
            await plane.feed.publish([[action(2, ratio=2.0, name=name, ts=opened(1)), adjusted[1]]])
        other = [action(2, ratio=2.0, name="BBB.XNAS", ts=adjusted[0].ts_event), bar("BBB.XNAS", 1, 10.0)]
        with pytest.raises(InvalidData, match="expected a time after"):
            await plane.feed.publish([other])
        await plane.feed.publish([[action(2, ratio=2.0, name="BBB.XNAS", ts=opened(1)), bar("BBB.XNAS", 1, 10.0)]])
        late = bar("BBB.XNAS", 2, 10.0).model_copy(update={"adjustment": "split_dividend"})
        with pytest.raises(InvalidData, match="has split_dividend bars and corporate actions"):
            await plane.feed.publish([[late]])
        assert await plane.feed.publish([[adjusted[2]]]) == 1
    assert len(plane.of(CorporateAction)) == 1
