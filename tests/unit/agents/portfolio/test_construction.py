import pytest

from agents.portfolio import ledger as books
from agents.portfolio.construction import floor_to_lot, propose
from agents.portfolio.ledger import Ledger
from schemas import Instrument, OrderAccepted, OrderFilled, RiskLimits, Signal, StrategyStarted
from streams.errors import ConfigError, MissingData
from streams.ids import derive_id

A, B, C = "AAPL.XNAS", "GOOGL.XNAS", "MSFT.XNAS"


def started(parameters=None, names=(A, B, C), short=False, lot=1.0, multiplier=1.0):
    instruments = tuple(
        Instrument(
            instrument_id=name,
            symbol=name[:4],
            venue="XNAS",
            currency="USD",
            tick_size=0.01,
            lot_size=lot,
            multiplier=multiplier,
            calendar="XNYS",
        )
        for name in names
    )
    return StrategyStarted(
        run_id="run",
        strategy_id="s",
        account_id="acc",
        workflow_id="w",
        alpha_pool="alpha",
        strategy_type="momentum",
        lookback_period=20,
        rebalance_frequency="daily",
        parameters=parameters or {},
        instruments=instruments,
        currency="USD",
        initial_cash=10_000,
        limits=RiskLimits(allow_short=short),
        ts_event=1,
    )


def signal(name, direction, **targets):
    more = {
        "strategy_id": "s",
        "account_id": "acc",
        "score": 0,
        "confidence": 1,
        "price": 10,
        "model": "m",
        "ts_event": 7,
    }
    return (f"sig-{name}", Signal(run_id="run", instrument_id=name, signal=direction, **more, **targets))


class Desk:
    """A run, its ledger, and the fills that a test needs."""

    def __init__(self, run, marks):
        self.run, self.ledger, self.orders = run, Ledger(), 0
        books.register(self.ledger, run)
        for name, price in marks.items():
            books.mark(self.ledger, name, price)

    def accept(self, name, side, quantity):
        self.orders += 1
        terms = {"order_id": f"o{self.orders}", "run_id": "run", "strategy_id": "s", "account_id": "acc"}
        terms |= {"instrument_id": name, "side": side, "quantity": quantity, "ts_event": 5}
        books.apply(self.ledger, OrderAccepted(**terms))
        return terms

    def trade(self, name, side, quantity, price):
        terms = self.accept(name, side, quantity)
        costs = dict.fromkeys(("commission", "spread_cost", "impact_cost", "leaves_quantity"), 0)
        money = {"price": price, "reference_price": price, "currency": "USD", "multiplier": 1.0}
        data = {"fill_id": terms["order_id"], "data_id": "row", "synthetic": False, "cumulative_quantity": quantity}
        books.apply(self.ledger, OrderFilled(**terms, **costs, **money, **data))

    def propose(self, *signals, headroom=0.0):
        orders = propose(self.ledger, self.run, signals, 9, headroom=headroom)
        return [(order.instrument_id, order.side, order.quantity) for order in orders]


def test_buys_the_position_size_rounded_down_to_lots():
    # 0.33 x 10,000 = 3,300: 110 at 30; 47.14 at 70 is 47.
    desk = Desk(started({"position_size": 0.33}), {A: 30.0, B: 70.0})
    assert desk.propose(signal(B, "BUY"), signal(A, "BUY")) == [(A, "BUY", 110), (B, "BUY", 47)]


def test_the_default_size_is_an_equal_share():
    # 10,000 / 3 = 3,333.33, at 10 each 333.
    desk = Desk(started(), dict.fromkeys((A, B, C), 10.0))
    assert {quantity for *_, quantity in desk.propose(*(signal(n, "BUY") for n in (A, B, C)))} == {333}


def test_proposals_carry_the_run_the_mark_and_a_derived_id():
    desk = Desk(started({"position_size": 0.5}), {A: 30.0})
    (order,) = propose(desk.ledger, desk.run, [signal(A, "BUY")], 9)
    assert order.proposal_id == derive_id("sig-AAPL.XNAS", "portfolio", 0)
    assert (order.signal_id, order.reference_price, order.ts_event) == ("sig-AAPL.XNAS", 30, 9)
    assert (order.order_type, order.time_in_force, order.run_id) == ("MARKET", "DAY", "run")


def test_headroom_leaves_cash_for_commission_and_buffer():
    # 10,000 / 1.01 = 9,900.99, at 10: 990.
    desk = Desk(started(names=(A,)), {A: 10.0})
    assert desk.propose(signal(A, "BUY"), headroom=0.01) == [(A, "BUY", 990)]


def test_targets_together_stay_within_the_gross_cap():
    # 3 x 0.5 would be 1.5; a third each: 333 at 10.
    desk = Desk(started({"position_size": 0.5}), dict.fromkeys((A, B, C), 10.0))
    assert [q for *_, q in desk.propose(*(signal(n, "BUY") for n in (A, B, C)))] == [333, 333, 333]
    # max_gross 0.6 leaves 0.2 each: 200.
    desk = Desk(started({"position_size": 0.5, "max_gross": 0.6}), dict.fromkeys((A, B, C), 10.0))
    assert [q for *_, q in desk.propose(*(signal(n, "BUY") for n in (A, B, C)))] == [200, 200, 200]


def test_positions_that_are_kept_take_their_room_first():
    # A is kept at 6,000 of 10,000; B wants 5,000 and gets 4,000.
    desk = Desk(started({"position_size": 0.5}), {A: 10.0, B: 10.0})
    desk.trade(A, "BUY", 600, 10.0)
    assert desk.propose(signal(A, "HOLD"), signal(B, "BUY")) == [(B, "BUY", 400)]


def test_a_position_within_its_band_is_not_resized_and_takes_its_room():
    # A stands at 0.54 of 10,000, its target 0.5 lies within 0.05; B gets the other 4,600.
    desk = Desk(started({"position_size": 0.5}), {A: 10.0, B: 10.0})
    desk.trade(A, "BUY", 540, 10.0)
    assert desk.propose(signal(A, "BUY"), signal(B, "BUY")) == [(B, "BUY", 460)]


def test_all_that_is_kept_takes_its_room():
    # A holds 0.1, B stands at 0.47 where 0.9 of its 0.5 would fit: within the band. C gets 1 - 0.1 - 0.47 = 0.43.
    desk = Desk(started({"position_size": 0.5}), dict.fromkeys((A, B, C), 10.0))
    desk.trade(A, "BUY", 100, 10.0)
    desk.trade(B, "BUY", 470, 10.0)
    assert desk.propose(signal(A, "HOLD"), signal(B, "BUY"), signal(C, "BUY")) == [(C, "BUY", 430)]


def test_a_position_outside_its_band_is_resized():
    # 0.6 is off by 0.1: 600 units go to 500. With band 0, one unit too many is sold.
    desk = Desk(started({"position_size": 0.5}), {A: 10.0})
    desk.trade(A, "BUY", 600, 10.0)
    assert desk.propose(signal(A, "BUY")) == [(A, "SELL", 100)]
    desk = Desk(started({"position_size": 0.5, "rebalance_band": 0}), {A: 10.0})
    desk.trade(A, "BUY", 501, 10.0)
    assert desk.propose(signal(A, "BUY")) == [(A, "SELL", 1)]


def test_sell_leaves_and_hold_keeps():
    desk = Desk(started(), {A: 10.0, B: 10.0})
    desk.trade(A, "BUY", 300, 10.0)
    assert desk.propose(signal(A, "HOLD"), signal(B, "SELL")) == []
    assert desk.propose(signal(A, "SELL")) == [(A, "SELL", 300)]


def test_sell_goes_short_where_the_run_may():
    # From 100 long to 0.25 x 10,000 = 250 short.
    desk = Desk(started({"position_size": 0.25}, short=True), {A: 10.0})
    desk.trade(A, "BUY", 100, 10.0)
    assert desk.propose(signal(A, "SELL")) == [(A, "SELL", 350)]


def test_sales_come_before_purchases():
    desk = Desk(started({"position_size": 0.3}), dict.fromkeys((A, B, C), 10.0))
    desk.trade(C, "BUY", 300, 10.0)
    desk.trade(B, "BUY", 300, 10.0)
    orders = desk.propose(signal(A, "BUY"), signal(C, "SELL"), signal(B, "SELL"))
    assert orders == [(B, "SELL", 300), (C, "SELL", 300), (A, "BUY", 300)]


def test_a_rotation_leaves_headroom_for_both_sides():
    # Equity 10,000 all in A. Room: (10,000 - 1 % x 10,000 sold) / 1.01 = 9,801.98, at 10: 980 units of B.
    desk = Desk(started({"position_size": 1.0}), {A: 10.0, B: 10.0})
    desk.trade(A, "BUY", 1000, 10.0)
    orders = desk.propose(signal(A, "SELL"), signal(B, "BUY"), headroom=0.01)
    assert orders == [(A, "SELL", 1000), (B, "BUY", 980)]


def test_working_orders_count_as_filled():
    desk = Desk(started({"position_size": 0.5}), {A: 10.0})
    desk.accept(A, "BUY", 500)
    assert desk.propose(signal(A, "BUY")) == []
    assert desk.propose(signal(A, "SELL")) == [(A, "SELL", 500)]


def test_a_signals_own_targets_come_first():
    desk = Desk(started({"position_size": 0.5}), {A: 10.0, B: 10.0})
    assert desk.propose(signal(A, "BUY", target_weight=0.2)) == [(A, "BUY", 200)]
    assert desk.propose(signal(A, "BUY", target_weight=0.2, target_quantity=7.9)) == [(A, "BUY", 7)]
    desk.trade(A, "BUY", 7, 10.0)
    # One unit is 0.001 of equity, within the band, but named exactly.
    assert desk.propose(signal(A, "BUY", target_quantity=8)) == [(A, "BUY", 1)]


def test_lots_and_multipliers():
    # 0.5 x 10,000 / (20 x 5) = 50 contracts in lots of 0.3: 166 x 0.3 = 49.8.
    desk = Desk(started({"position_size": 0.5}, lot=0.3, multiplier=5.0), {A: 20.0})
    assert desk.propose(signal(A, "BUY")) == [(A, "BUY", 49.8)]
    assert floor_to_lot(0.1 + 0.2, 0.1) == 0.3
    assert floor_to_lot(-2.9, 1) == -2


def test_without_equity_every_target_is_zero():
    desk = Desk(started({"position_size": 0.5}), {A: 10.0, B: 10.0})
    desk.trade(A, "BUY", 500, 10.0)
    books.deposit(desk.ledger, -11_000)
    assert desk.propose(signal(A, "BUY"), signal(B, "BUY")) == [(A, "SELL", 500)]


def test_what_is_missing_is_an_error():
    desk = Desk(started(names=(A, B)), {A: 10.0})
    with pytest.raises(MissingData, match=r"GOOGL.XNAS has no mark"):
        desk.propose(signal(B, "BUY"))
    with pytest.raises(ConfigError, match=r"MSFT.XNAS, expected its own for one of"):
        desk.propose(signal(C, "BUY"))


def test_the_same_signals_give_the_same_proposals_in_any_order():
    desk = Desk(started(), dict.fromkeys((A, B, C), 10.0))
    signals = [signal(name, "BUY") for name in (A, B, C)]
    first = propose(desk.ledger, desk.run, signals, 9)
    assert propose(desk.ledger, desk.run, signals[::-1], 9) == first
