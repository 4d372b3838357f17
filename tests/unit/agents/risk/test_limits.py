import random

import pytest

from agents.risk import limits as risk
from agents.risk.limits import RiskAccount
from schemas import (
    CancelOrder,
    Instrument,
    KillSwitchChanged,
    KillSwitchSet,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderProposed,
    OrderRejected,
    RiskLimits,
    StrategyStarted,
    SubmitOrder,
)
from streams.errors import ConfigError
from streams.ids import derive_id

A, B, C = "AAPL.XNAS", "GOOGL.XNAS", "MSFT.XNAS"


def started(run_id="run", cash=10_000.0, currency="USD", account_id="acc", **limits):
    instruments = tuple(
        Instrument(
            instrument_id=name,
            symbol=name[:4],
            venue="XNAS",
            currency=currency,
            tick_size=0.01,
            lot_size=1,
            multiplier=50 if name == C else 1,
            calendar="XNYS",
        )
        for name in (A, B, C)
    )
    return StrategyStarted(
        run_id=run_id,
        strategy_id="s",
        account_id=account_id,
        workflow_id="w",
        alpha_pool="alpha",
        strategy_type="momentum",
        lookback_period=20,
        rebalance_frequency="daily",
        parameters={},
        instruments=instruments,
        currency=currency,
        initial_cash=cash,
        limits=RiskLimits(**limits),
        ts_event=1,
    )


def proposed(number, side, quantity, name=A, run_id="run", **more):
    return OrderProposed(
        run_id=run_id,
        strategy_id="s",
        account_id="acc",
        instrument_id=name,
        side=side,
        quantity=quantity,
        proposal_id=f"p{number}",
        signal_id="sig",
        reference_price=10,
        ts_event=5,
        **more,
    )


def word(active, reason="user"):
    """Return an operator's word; equal ones are the same word."""
    command_id = f"{active} {reason}"
    return KillSwitchSet(account_id="acc", active=active, reason=reason, command_id=command_id, ts_event=1)


class Desk:
    """A risk account with marks of 10, and the reports that a test needs."""

    def __init__(self, **limits):
        self.account, self.number = RiskAccount(), 0
        risk.register(self.account, started(**limits))
        for name in (A, B, C):
            risk.mark(self.account, name, 10.0, "2012-01-03")

    def ask(self, side, quantity, name=A, commission_rate=0.0, cash_buffer=0.0, count_sales=False, **more):
        self.number += 1
        proposal = proposed(self.number, side, quantity, name, **more)
        return risk.decide(self.account, proposal, commission_rate, cash_buffer, 5, count_sales=count_sales)

    def report(self, kind, order, quantity=None, **more):
        fields = {
            "order_id": order.order_id,
            "run_id": order.run_id,
            "strategy_id": "s",
            "account_id": "acc",
            "instrument_id": order.instrument_id,
            "side": order.side,
            "quantity": quantity or order.quantity,
            "ts_event": 6,
        }
        return risk.apply(self.account, kind(**fields, **more))

    def fill(self, order, quantity, price, *, cumulative, commission=0.0):
        return self.report(
            OrderFilled,
            order,
            quantity,
            fill_id=f"f{cumulative}",
            price=price,
            reference_price=price,
            commission=commission,
            spread_cost=0,
            impact_cost=0,
            cumulative_quantity=cumulative,
            leaves_quantity=order.quantity - cumulative,
            currency="USD",
            multiplier=order.multiplier,
            data_id="row",
            synthetic=False,
        )

    def trade(self, side, quantity, price=10.0, name=A):
        order = self.ask(side, quantity, name)
        assert isinstance(order, SubmitOrder), order
        assert self.report(OrderAccepted, order)
        assert self.fill(order, quantity, price, cumulative=quantity)


def denied(decision, code):
    assert isinstance(decision, OrderDenied), decision
    assert decision.code == code
    return decision


def test_an_order_carries_the_proposal_and_what_the_venue_needs():
    desk = Desk()
    order = desk.ask("BUY", 3, C)
    assert order.order_id == derive_id("p1", "risk", 0)
    assert (order.currency, order.multiplier, order.calendar, order.ts_event) == ("USD", 50, "XNYS", 5)
    assert (order.proposal_id, order.quantity, order.side) == ("p1", 3, "BUY")


def test_kill_switch():
    desk = Desk()
    risk.take_word(desk.account, word(True), 7)
    denial = denied(desk.ask("BUY", 1), "KILL_SWITCH")
    assert (denial.limit, denial.value) == (0, 1)


def test_unknown_run():
    desk = Desk()
    denied(desk.ask("BUY", 1, run_id="stranger"), "UNKNOWN_RUN")
    denied(desk.ask("BUY", 1, "TSLA.XNAS"), "UNKNOWN_RUN")
    risk.stop(desk.account, "run")
    assert "stopped" in denied(desk.ask("BUY", 1), "UNKNOWN_RUN").reason


def test_no_mark():
    account = RiskAccount()
    risk.register(account, started())
    denial = denied(risk.decide(account, proposed(1, "BUY", 1), 0, 0, 5), "NO_MARK")
    assert A in denial.reason


def test_short_not_allowed_counts_working_sales():
    desk = Desk()
    desk.trade("BUY", 100)
    assert isinstance(desk.ask("SELL", 60), SubmitOrder)
    denial = denied(desk.ask("SELL", 41), "SHORT_NOT_ALLOWED")
    assert (denial.limit, denial.value) == (0, -1)
    assert isinstance(desk.ask("SELL", 40), SubmitOrder)


def test_a_run_cannot_sell_what_another_holds():
    desk = Desk()
    risk.register(desk.account, started("other"))
    desk.trade("BUY", 100)
    denied(desk.ask("SELL", 1, run_id="other"), "SHORT_NOT_ALLOWED")


def test_short_where_allowed():
    desk = Desk(allow_short=True)
    assert isinstance(desk.ask("SELL", 100), SubmitOrder)
    assert desk.account.reservations == {}


def test_max_order_notional():
    desk = Desk(max_order_notional=1000)
    assert isinstance(desk.ask("BUY", 100), SubmitOrder)
    denial = denied(desk.ask("BUY", 101), "MAX_ORDER_NOTIONAL")
    assert (denial.limit, denial.value) == (1000, 1010)
    # One contract of C is worth 50 x 10 = 500.
    assert denied(desk.ask("BUY", 3, C), "MAX_ORDER_NOTIONAL").value == 1500


def test_max_position_weight_counts_working_orders():
    # 0.3 of 10,000 is 3,000: 200 units held would be followed by 101 more at 10.
    desk = Desk(max_position_weight=0.3)
    assert isinstance(desk.ask("BUY", 200), SubmitOrder)
    denial = denied(desk.ask("BUY", 101), "MAX_POSITION_WEIGHT")
    assert (denial.limit, denial.value) == (0.3, pytest.approx(0.301))
    assert isinstance(desk.ask("BUY", 100), SubmitOrder)


def test_max_gross_exposure_adds_longs_shorts_and_working_orders():
    desk = Desk(allow_short=True, max_gross_exposure=0.5)
    desk.trade("BUY", 200, name=A)
    assert isinstance(desk.ask("SELL", 200, B), SubmitOrder)
    # 2,000 + 2,000 + 3 x 500 = 5,500 of 10,000.
    denial = denied(desk.ask("SELL", 3, C), "MAX_GROSS_EXPOSURE")
    assert (denial.limit, denial.value) == (0.5, pytest.approx(0.55))
    assert isinstance(desk.ask("SELL", 2, C), SubmitOrder)


def test_exactly_at_a_limit_passes_despite_rounding():
    # 0.1 x 3 = 0.30000000000000004 of equity 1 lies within 1e-9 of 0.3.
    desk = Desk(cash=1.0, max_position_weight=0.3, max_order_notional=0.3)
    risk.mark(desk.account, A, 0.1, "2012-01-03")
    assert isinstance(desk.ask("BUY", 3), SubmitOrder)


def test_a_reduction_passes_the_exposure_checks():
    desk = Desk()
    desk.trade("BUY", 900)
    tight = RiskLimits(max_position_weight=0.1, max_gross_exposure=0.1, max_order_notional=1)
    desk.account.runs["run"].limits = tight
    assert isinstance(desk.ask("SELL", 100), SubmitOrder)
    denied(desk.ask("BUY", 1), "MAX_ORDER_NOTIONAL")


def test_crossing_zero_is_not_a_reduction():
    desk = Desk(allow_short=True)
    desk.trade("BUY", 100)
    desk.account.runs["run"].limits = RiskLimits(allow_short=True, max_order_notional=1)
    assert isinstance(desk.ask("SELL", 60), SubmitOrder)
    denied(desk.ask("SELL", 60), "MAX_ORDER_NOTIONAL")


def test_insufficient_cash_says_how_it_comes_to_it():
    # 100 x 10 x (1 + 0.01) + 2 commission = 1,012 reserved; then 900 x 10 x 1.01 + 18 commission = 9,108.
    desk = Desk()
    assert isinstance(desk.ask("BUY", 100, commission_rate=0.002, cash_buffer=0.01), SubmitOrder)
    assert list(desk.account.reservations.values()) == [pytest.approx(1012)]
    denial = denied(desk.ask("BUY", 900, B, commission_rate=0.002, cash_buffer=0.01), "INSUFFICIENT_CASH")
    assert denial.reason == "needs 9,108.00 USD, available 8,988.00 = cash 10,000.00 - reserved 1,012.00"
    assert (denial.limit, denial.value) == (pytest.approx(8988), pytest.approx(9108))


def test_a_limit_order_needs_cash_for_its_limit():
    desk = Desk()
    desk.ask("BUY", 100, order_type="LIMIT", limit_price=9.0)
    assert list(desk.account.reservations.values()) == [900]


def test_working_sales_count_only_where_asked():
    desk = Desk()
    desk.trade("BUY", 1000)
    assert isinstance(desk.ask("SELL", 1000), SubmitOrder)
    denied(desk.ask("BUY", 900, B), "INSUFFICIENT_CASH")
    # 10,000 x (1 - 0.01 - 0.001) = 9,890 against 900 x 10 x 1.011 = 9,099.
    order = desk.ask("BUY", 900, B, commission_rate=0.001, cash_buffer=0.01, count_sales=True)
    assert isinstance(order, SubmitOrder)
    denial = denied(
        desk.ask("BUY", 100, B, commission_rate=0.001, cash_buffer=0.01, count_sales=True), "INSUFFICIENT_CASH"
    )
    assert denial.reason.endswith("cash 0.00 - reserved 9,099.00 + sales 9,890.00")


def test_margin_buys_up_to_equity_times_gross_exposure():
    # 2 x 10,000: 1,200 x 10 x 1.01 + 24 commission = 12,144 leaves 20,000 - 12,000 for the next.
    desk, terms = Desk(max_gross_exposure=2.0, max_position_weight=2.0), {"commission_rate": 0.002, "cash_buffer": 0.01}
    assert isinstance(desk.ask("BUY", 1200, **terms), SubmitOrder)
    denial = denied(desk.ask("BUY", 800, B, **terms), "INSUFFICIENT_CASH")
    assert denial.reason == "needs 8,096.00 USD, available 8,000.00 = equity 10,000.00 x 2 - exposure 12,000.00"
    assert (denial.limit, denial.value) == (pytest.approx(8000), pytest.approx(8096))
    assert isinstance(desk.ask("BUY", 790, B, **terms), SubmitOrder)


def test_cash_goes_below_zero_on_margin_only():
    for gross, passes in ((1.0, False), (1.5, True)):
        desk = Desk(max_gross_exposure=gross, max_position_weight=2.0)
        desk.trade("BUY", 1000)
        assert isinstance(desk.ask("BUY", 100), SubmitOrder) is passes
    desk.trade("BUY", 400)
    assert desk.account.cash == -4000
    # 1,400 x 9 - 4,000 = 8,600 of equity carry 12,900: 12,600 are held, 900 more are too much.
    risk.mark(desk.account, A, 9.0, "2012-01-03")
    denied(desk.ask("BUY", 100), "MAX_GROSS_EXPOSURE")
    assert isinstance(desk.ask("SELL", 1400), SubmitOrder)


def test_covering_a_short_is_never_short_of_buying_power():
    desk = Desk(max_gross_exposure=2.0, max_position_weight=2.0, allow_short=True, max_daily_loss=1.0)
    desk.trade("SELL", 1900)
    # 29,000 - 1,900 x 14 = 2,400 of equity; nothing may be added, but all may be covered, at a stop of 20 too.
    risk.mark(desk.account, A, 14.0, "2012-01-03")
    denied(desk.ask("BUY", 1, B), "MAX_GROSS_EXPOSURE")
    assert isinstance(desk.ask("BUY", 900), SubmitOrder)
    assert isinstance(desk.ask("BUY", 1000, order_type="STOP", stop_price=20.0), SubmitOrder)


def test_turning_a_short_needs_only_what_is_opened():
    # 500 short, 1,200 bought: 700 long adds 200 units, and commission is due on all.
    desk = Desk(max_gross_exposure=2.0, max_position_weight=2.0, allow_short=True)
    desk.trade("SELL", 500)
    desk.trade("SELL", 1490, name=B)
    denial = denied(desk.ask("BUY", 1200, commission_rate=0.001), "MAX_GROSS_EXPOSURE")
    assert denial.value == pytest.approx(2.19)
    desk.account.runs["run"].limits = RiskLimits(max_gross_exposure=2.19, max_position_weight=2.0, allow_short=True)
    denial = denied(desk.ask("BUY", 1200, commission_rate=0.001), "INSUFFICIENT_CASH")
    assert (denial.value, denial.limit) == (pytest.approx(2012), pytest.approx(21_900 - 19_900))


def test_a_stop_above_the_mark_needs_cash_for_its_stop():
    desk = Desk()
    desk.ask("BUY", 100, order_type="STOP", stop_price=12.0)
    desk.ask("BUY", 100, order_type="STOP_LIMIT", stop_price=12.0, limit_price=13.0)
    assert sorted(desk.account.reservations.values()) == [1200, 1300]


def test_an_order_carries_its_stop_and_its_lot():
    desk = Desk()
    order = desk.ask("BUY", 100, order_type="STOP", stop_price=12.0, time_in_force="GTC")
    assert (order.order_type, order.stop_price, order.time_in_force, order.lot_size) == ("STOP", 12, "GTC", 1)


def test_a_reservation_shrinks_with_partial_fills_and_ends_with_the_order():
    desk = Desk()
    order = desk.ask("BUY", 100, cash_buffer=0.01)
    assert desk.report(OrderAccepted, order)
    assert desk.account.reservations[order.order_id] == pytest.approx(1010)
    assert desk.fill(order, 40, 11, cumulative=40, commission=3)
    # 60 of 100 are open; cash paid 440 + 3.
    assert desk.account.reservations[order.order_id] == pytest.approx(606)
    assert desk.account.cash == 10_000 - 443
    assert desk.report(OrderCanceled, order, 60, reason="user")
    assert (desk.account.reservations, desk.account.orders.open, desk.account.positions) == ({}, {}, {A: 40})


@pytest.mark.parametrize(("kind", "more"), [(OrderRejected, {"reason": "x"}), (OrderExpired, {})])
def test_terminal_reports_release_the_cash(kind, more):
    desk = Desk()
    order = desk.ask("BUY", 100)
    if kind is OrderExpired:
        desk.report(OrderAccepted, order)
    assert desk.report(kind, order, **more)
    assert not desk.report(kind, order, **more)
    assert desk.account.reservations == {}


def test_a_proposal_is_decided_once():
    desk = Desk(max_order_notional=1000)
    accepted, refused = proposed(1, "BUY", 50), proposed(2, "BUY", 500)
    order = risk.decide(desk.account, accepted, 0, 0, 5)
    denied(risk.decide(desk.account, refused, 0, 0, 5), "MAX_ORDER_NOTIONAL")
    before = desk.account.model_copy(deep=True)
    assert [risk.decide(desk.account, again, 0, 0, 5) for again in (accepted, refused)] == [None, None]
    assert desk.account == before
    # Still decided once the order has ended.
    desk.report(OrderRejected, order, reason="x")
    assert risk.decide(desk.account, accepted, 0, 0, 5) is None


def test_reports_count_once():
    desk = Desk()
    order = desk.ask("BUY", 100)
    assert desk.report(OrderAccepted, order)
    assert desk.fill(order, 40, 10, cumulative=40)
    before = desk.account.model_copy(deep=True)
    assert not desk.report(OrderAccepted, order)
    assert not desk.fill(order, 40, 10, cumulative=40)
    assert desk.account == before


def test_the_daily_loss_trips_the_kill_switch_and_cancels_open_orders():
    desk = Desk(max_daily_loss=0.05)
    desk.trade("BUY", 500)
    working = [desk.ask("BUY", 1, name) for name in (B, A)]
    risk.mark(desk.account, A, 9.0, "2012-01-03")
    # 500 x 1 of 10,000 is exactly 5 %.
    assert risk.end_of_marks(desk.account, 8) == []
    risk.mark(desk.account, A, 8.9, "2012-01-03")
    changed, *cancels = risk.end_of_marks(desk.account, 9)
    assert isinstance(changed, KillSwitchChanged)
    assert (changed.active, changed.ts_event, desk.account.kill_switch) == (True, 9, True)
    assert "5.50%" in changed.reason
    assert {cancel.order_id for cancel in cancels} == {order.order_id for order in working}
    assert all(isinstance(cancel, CancelOrder) for cancel in cancels)
    for order in working:
        desk.report(OrderAccepted, order)
        desk.report(OrderCanceled, order, reason="x")
    assert risk.end_of_marks(desk.account, 10) == []
    denied(desk.ask("SELL", 1), "KILL_SWITCH")


def test_a_later_session_starts_from_the_last_marks():
    desk = Desk(max_daily_loss=0.05)
    desk.trade("BUY", 500)
    risk.mark(desk.account, A, 9.2, "2012-01-03")
    # From 9,600; 9,125 is 4.9 % less.
    risk.mark(desk.account, A, 8.25, "2012-01-04")
    assert desk.account.session_start_equity == pytest.approx(9600)
    assert risk.end_of_marks(desk.account, 9) == []
    # A mark of an earlier session does not turn back.
    risk.mark(desk.account, A, 8.1, "2012-01-03")
    assert desk.account.session == "2012-01-04"
    assert len(risk.end_of_marks(desk.account, 9)) == 1


def test_daily_loss_beyond_the_runs_own_limit_denies_new_exposure():
    desk = Desk(max_daily_loss=0.05)
    desk.trade("BUY", 500)
    risk.mark(desk.account, A, 8.0, "2012-01-03")
    denial = denied(desk.ask("BUY", 1), "DAILY_LOSS")
    assert (denial.limit, denial.value) == (0.05, pytest.approx(0.1))
    assert isinstance(desk.ask("SELL", 1), SubmitOrder)


def test_an_operators_word_is_answered_once_and_holds():
    desk, halt = Desk(), word(True, "check it")
    tripped = risk.take_word(desk.account, halt, 7)
    assert tripped == KillSwitchChanged(account_id="acc", active=True, reason="check it", ts_event=7)
    assert risk.take_word(desk.account, halt, 8) is None
    risk.mark(desk.account, A, 11.0, "2012-01-04")
    assert risk.end_of_marks(desk.account, 8) == []
    denied(desk.ask("BUY", 1), "KILL_SWITCH")
    released = risk.take_word(desk.account, word(False, "fixed"), 9)
    assert (released.active, released.reason) == (False, "fixed")
    assert isinstance(desk.ask("BUY", 1), SubmitOrder)
    # Where the switch stays as it is, the word is answered too.
    assert risk.take_word(desk.account, word(False, "again"), 10).reason == "again"


def test_a_halt_cancels_every_open_order_and_the_reports_release_the_cash():
    desk = Desk()
    risk.register(desk.account, started("other"))
    mine, other = desk.ask("BUY", 10), desk.ask("BUY", 20, B, run_id="other")
    for order in (mine, other):
        desk.report(OrderAccepted, order)
    risk.take_word(desk.account, word(True, "check it"), 7)
    cancels = risk.end_of_marks(desk.account, 7)
    assert {(c.order_id, c.run_id, c.instrument_id, c.reason, c.ts_event) for c in cancels} == {
        (mine.order_id, "run", A, "check it", 7),
        (other.order_id, "other", B, "check it", 7),
    }
    for order in (mine, other):
        desk.report(OrderCanceled, order, reason="check it")
    assert desk.account.reservations == {}
    assert risk.end_of_marks(desk.account, 8) == []


def test_a_stopped_run_loses_its_open_orders_and_another_on_the_account_does_not():
    desk = Desk()
    risk.register(desk.account, started("other"))
    mine, part, other = desk.ask("BUY", 10), desk.ask("BUY", 40, B), desk.ask("BUY", 20, run_id="other")
    for order in (mine, part, other):
        desk.report(OrderAccepted, order)
    desk.fill(part, 15, 10.0, cumulative=15)
    assert risk.end_of_marks(desk.account, 7) == []
    risk.stop(desk.account, "run")
    cancels = risk.end_of_marks(desk.account, 8)
    assert {cancel.order_id for cancel in cancels} == {mine.order_id, part.order_id}
    assert {cancel.reason for cancel in cancels} == {"run run was stopped"}
    desk.report(OrderCanceled, mine, reason="x")
    desk.report(OrderCanceled, part, 25, reason="x")
    assert list(desk.account.reservations) == [other.order_id]
    assert desk.account.positions == {B: 15}
    assert risk.end_of_marks(desk.account, 9) == []
    assert isinstance(desk.ask("BUY", 1, run_id="other"), SubmitOrder)


def test_a_stop_and_a_halt_in_one_slice_cancel_an_order_once():
    desk = Desk()
    order = desk.ask("BUY", 10)
    risk.stop(desk.account, "run")
    risk.take_word(desk.account, word(True), 7)
    (cancel,) = risk.end_of_marks(desk.account, 7)
    assert (cancel.order_id, cancel.reason) == (order.order_id, "user")


def test_a_release_accepts_the_loss_that_stands_until_it_was_made_good():
    desk = Desk(max_daily_loss=0.05)
    desk.trade("BUY", 500)
    risk.mark(desk.account, A, 8.0, "2012-01-03")
    assert [type(m) for m in risk.end_of_marks(desk.account, 8)] == [KillSwitchChanged]
    risk.take_word(desk.account, word(False), 9)
    risk.mark(desk.account, A, 7.9, "2012-01-03")
    assert risk.end_of_marks(desk.account, 9) == []
    # The loss stands: new exposure is denied, a reduction is not.
    denied(desk.ask("BUY", 1), "DAILY_LOSS")
    assert isinstance(desk.ask("SELL", 1), SubmitOrder)
    # Made good, the limit is armed again.
    risk.mark(desk.account, A, 9.5, "2012-01-03")
    assert risk.end_of_marks(desk.account, 10) == []
    risk.mark(desk.account, A, 8.0, "2012-01-03")
    (tripped, *cancels) = risk.end_of_marks(desk.account, 11)
    assert isinstance(tripped, KillSwitchChanged)
    assert len(cancels) == 1


def test_a_release_does_not_reach_into_the_next_session():
    desk = Desk(max_daily_loss=0.05)
    desk.trade("BUY", 500)
    risk.mark(desk.account, A, 8.0, "2012-01-03")
    risk.end_of_marks(desk.account, 8)
    risk.take_word(desk.account, word(False), 9)
    assert risk.end_of_marks(desk.account, 9) == []
    # From 9,000, another 6 %.
    risk.mark(desk.account, A, 8.0, "2012-01-04")
    assert risk.end_of_marks(desk.account, 10) == []
    risk.mark(desk.account, A, 6.9, "2012-01-04")
    assert len(risk.end_of_marks(desk.account, 11)) == 1


def test_a_restored_account_remembers_the_operators_word():
    desk = Desk()
    order = desk.ask("BUY", 10)
    risk.take_word(desk.account, word(True), 7)
    restored = RiskAccount.model_validate_json(desk.account.model_dump_json())
    assert risk.take_word(restored, word(True), 7) is None
    assert restored.kill_switch
    assert [cancel.order_id for cancel in risk.end_of_marks(restored, 7)] == [order.order_id]


def test_no_equity_no_new_exposure():
    desk = Desk(allow_short=True)
    desk.trade("SELL", 900)
    desk.account.runs["run"].limits = RiskLimits(allow_short=True, max_daily_loss=1.0)
    # Cash 19,000 - 900 x 30 = -8,000.
    risk.mark(desk.account, A, 30.0, "2012-01-03")
    desk.account.session_start_equity = -8000
    assert denied(desk.ask("SELL", 1), "MAX_POSITION_WEIGHT").limit == 0
    assert isinstance(desk.ask("BUY", 1), SubmitOrder)


def test_runs_deposit_once_in_one_currency():
    desk = Desk()
    assert not risk.register(desk.account, started())
    assert risk.register(desk.account, started("two", 500.0))
    assert (desk.account.cash, desk.account.session_start_equity) == (10_500, 10_500)
    with pytest.raises(ConfigError, match="'EUR'"):
        risk.register(desk.account, started("three", currency="EUR"))


def test_survives_json_unchanged():
    desk = Desk()
    desk.trade("BUY", 0.1, 1 / 3)
    desk.ask("BUY", 1)
    restored = RiskAccount.model_validate_json(desk.account.model_dump_json())
    assert restored == desk.account
    assert risk.decide(restored, proposed(1, "BUY", 0.1), 0, 0, 5) is None


@pytest.mark.parametrize("seed", [1, 2])
def test_cash_never_goes_below_what_is_reserved(seed):
    rng, desk = random.Random(seed), Desk()
    for _ in range(300):
        side, quantity = rng.choice(["BUY", "SELL"]), float(rng.randint(1, 200))
        order = desk.ask(side, quantity, rng.choice([A, B]), commission_rate=0.001, cash_buffer=0.02)
        if isinstance(order, OrderDenied):
            continue
        desk.report(OrderAccepted, order)
        part = float(rng.randint(1, int(quantity)))
        # A fill up to 2 % beyond the mark, as far as the buffer reaches.
        price = 10 * (1 + rng.uniform(-0.02, 0.02))
        desk.fill(order, part, price, cumulative=part, commission=part * 10 * 0.001)
        if part < quantity:
            desk.report(OrderExpired, order, quantity - part)
        assert desk.account.cash >= -1e-9
        assert desk.account.reservations == {}
        assert all(units > 0 for units in desk.account.positions.values())
