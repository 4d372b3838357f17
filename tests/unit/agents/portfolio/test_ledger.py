import random

import pytest

from agents.execution.lifecycle import IllegalTransition
from agents.orders import ENDED_KEPT, LostFill
from agents.portfolio import ledger as books
from agents.portfolio.ledger import Ledger, OutOfBalance
from schemas import (
    Instrument,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    RiskLimits,
    StrategyStarted,
)
from streams.errors import ConfigError

A, B = "AAPL.XNAS", "MSFT.XNAS"


def started(run_id="run", cash=1000.0, currency="USD", account_id="acc"):
    instruments = tuple(
        Instrument(
            instrument_id=name,
            symbol=name[:4],
            venue="XNAS",
            currency=currency,
            tick_size=0.01,
            lot_size=1,
            calendar="XNYS",
        )
        for name in (A, B)
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
        limits=RiskLimits(),
        ts_event=1,
    )


def terms(order_id, side, quantity, instrument_id, run_id):
    return {
        "order_id": order_id,
        "run_id": run_id,
        "strategy_id": "s",
        "account_id": "acc",
        "instrument_id": instrument_id,
        "side": side,
        "quantity": quantity,
        "ts_event": 5,
    }


def accepted(order_id, side, quantity, instrument_id=A, run_id="run"):
    return OrderAccepted(**terms(order_id, side, quantity, instrument_id, run_id))


def filled(order_id, side, quantity, price, *, cumulative=None, leaves=0.0, instrument_id=A, run_id="run", **more):
    return OrderFilled(
        **terms(order_id, side, quantity, instrument_id, run_id),
        fill_id=f"{order_id}-{cumulative or quantity}",
        price=price,
        reference_price=price,
        commission=more.get("commission", 0.0),
        spread_cost=0,
        impact_cost=0,
        cumulative_quantity=cumulative or quantity,
        leaves_quantity=leaves,
        currency=more.get("currency", "USD"),
        multiplier=more.get("multiplier", 1.0),
        data_id="row",
        synthetic=False,
    )


@pytest.fixture
def ledger():
    ledger = Ledger()
    books.register(ledger, started())
    return ledger


def trade(ledger, number, side, quantity, price, **more):
    order_id = f"order-{number}"
    run = {key: more[key] for key in ("instrument_id", "run_id") if key in more}
    assert books.apply(ledger, accepted(order_id, side, quantity, **run))
    assert books.apply(ledger, filled(order_id, side, quantity, price, **more))
    books.check_balance(ledger)


def test_average_cost_by_hand(ledger):
    # Buy 10 at 20 and 30 at 24: average (200 + 720) / 40 = 23. Sell 15 at 25: realised 15 x 2 = 30.
    trade(ledger, 1, "BUY", 10, 20, commission=1)
    trade(ledger, 2, "BUY", 30, 24, commission=2)
    trade(ledger, 3, "SELL", 15, 25, commission=3)
    assert ledger.positions[A].average_price == pytest.approx(23)
    assert (ledger.positions[A].quantity, ledger.realised_pnl, ledger.commission) == (25, pytest.approx(30), 6)
    # 1000 - 200 - 720 + 375 - 6 = 449; at mark 26 equity is 449 + 25 x 26 = 1099, unrealised 25 x 3 = 75.
    books.mark(ledger, A, 26.0)
    update = books.snapshot(ledger, 9)
    assert (update.cash, update.equity, update.unrealised_pnl) == (449, 1099, pytest.approx(75))
    assert (update.deposits, update.fills, update.ts_event, update.currency) == (1000, 3, 9, "USD")
    assert update.positions[0].model_dump() == {
        "instrument_id": A,
        "quantity": 25,
        "average_price": pytest.approx(23),
        "mark": 26,
        "unrealised_pnl": pytest.approx(75),
    }


def test_shorts_and_a_flip_through_zero(ledger):
    # Short 10 at 50, cover 4 at 45: realised 4 x 5 = 20. Buy 16 at 40: closes 6 for 6 x 10 = 60 and opens 10 at 40.
    trade(ledger, 1, "SELL", 10, 50)
    assert books.equity(ledger) == 1000
    trade(ledger, 2, "BUY", 4, 45)
    assert (ledger.positions[A].quantity, ledger.realised_pnl) == (-6, 20)
    trade(ledger, 3, "BUY", 16, 40)
    assert (ledger.positions[A].quantity, ledger.positions[A].average_price, ledger.realised_pnl) == (10, 40, 80)
    # Long to short: sells 25 at 42: closes 10 for 20, opens -15 at 42; at mark 40 they earn 30.
    trade(ledger, 4, "SELL", 25, 42)
    assert (ledger.positions[A].quantity, ledger.positions[A].average_price, ledger.realised_pnl) == (-15, 42, 100)
    books.mark(ledger, A, 40)
    assert books.equity(ledger) == 1000 + 100 + 30


def test_the_multiplier_scales_money(ledger):
    # One contract worth 50 a point, bought at 10 and sold at 12: 100 earned.
    trade(ledger, 1, "BUY", 1, 10, multiplier=50.0)
    assert ledger.cash == 500
    books.mark(ledger, A, 11)
    assert books.equity(ledger) == 1050
    trade(ledger, 2, "SELL", 1, 12, multiplier=50.0)
    assert (ledger.cash, ledger.realised_pnl, ledger.positions) == (1100, 100, {})


def test_rounding_closes_a_position(ledger):
    # 0.1 + 0.2 - 0.3 leaves 5.6e-17.
    trade(ledger, 1, "BUY", 0.1, 100)
    trade(ledger, 2, "BUY", 0.2, 100)
    trade(ledger, 3, "SELL", 0.3, 100)
    assert (ledger.positions, ledger.runs["run"]) == ({}, {})


def test_every_report_counts_once(ledger):
    reports = [
        accepted("o", "BUY", 10),
        filled("o", "BUY", 4, 20, cumulative=4, leaves=6),
        filled("o", "BUY", 6, 21, cumulative=10, leaves=0),
    ]
    for report in reports:
        assert books.apply(ledger, report)
        after = ledger.model_copy(deep=True)
        for again in reports[: reports.index(report) + 1]:
            assert not books.apply(ledger, again)
        assert ledger == after
    assert (ledger.fills, ledger.cash) == (2, 1000 - 80 - 126)


def test_open_quantities_follow_the_reports(ledger):
    books.apply(ledger, accepted("o", "SELL", 10))
    assert ledger.orders.open["o"].leaves == -10
    books.apply(ledger, filled("o", "SELL", 4, 20, cumulative=4, leaves=6))
    assert ledger.orders.open["o"].leaves == -6
    canceled = OrderCanceled(**terms("o", "SELL", 6, A, "run"), reason="user")
    assert books.apply(ledger, canceled)
    assert not books.apply(ledger, canceled)
    assert ledger.orders.open == {}


def test_expired_and_rejected_orders_end(ledger):
    books.apply(ledger, accepted("day", "BUY", 1))
    assert books.apply(ledger, OrderExpired(**terms("day", "BUY", 1, A, "run")))
    rejected = OrderRejected(**terms("no", "BUY", 1, A, "run"), reason="currency")
    assert books.apply(ledger, rejected)
    assert not books.apply(ledger, rejected)
    assert ledger.orders.open == {}


def test_memory_of_ended_orders_is_bounded(ledger):
    for number in range(ENDED_KEPT + 5):
        books.apply(ledger, OrderRejected(**terms(f"o{number}", "BUY", 1, A, "run"), reason="x"))
    assert len(ledger.orders.ended.ids) == ENDED_KEPT
    assert "o4" not in ledger.orders.ended
    assert "o5" in ledger.orders.ended


def test_a_lost_report_is_an_error(ledger):
    with pytest.raises(IllegalTransition, match="INITIALIZED, cannot become FILLED"):
        books.apply(ledger, filled("o", "BUY", 1, 10))
    books.apply(ledger, accepted("o", "BUY", 10))
    with pytest.raises(LostFill, match="brings it to 7"):
        books.apply(ledger, filled("o", "BUY", 4, 20, cumulative=7, leaves=3))


def test_a_run_deposits_once(ledger):
    assert not books.register(ledger, started())
    assert books.register(ledger, started("other", 500.0))
    assert (ledger.cash, ledger.deposits) == (1500, 1500)
    trade(ledger, 1, "BUY", 2, 10, run_id="other")
    trade(ledger, 2, "BUY", 3, 10)
    assert ledger.runs == {"run": {A: 3}, "other": {A: 2}}
    assert ledger.positions[A].quantity == 5


def test_another_currency_account_or_run_is_refused(ledger):
    with pytest.raises(ConfigError, match="holds 'USD', got account 'acc' in 'EUR'"):
        books.register(ledger, started("two", currency="EUR"))
    with pytest.raises(ConfigError, match="'EUR'"):
        books.apply(ledger, filled("o", "BUY", 1, 10, currency="EUR"))
    with pytest.raises(ConfigError, match="account 'else'"):
        books.register(ledger, started("two", account_id="else"))
    with pytest.raises(ConfigError, match="'stranger' is not registered"):
        books.apply(ledger, accepted("o", "BUY", 1, run_id="stranger"))
    assert "two" not in ledger.runs


def test_check_balance_finds_missing_money(ledger):
    books.check_balance(ledger)
    ledger.cash -= 2e-6
    with pytest.raises(OutOfBalance, match=r"expected 1000\.0"):
        books.check_balance(ledger)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_money_adds_up_over_random_fills_and_redeliveries(seed):
    rng, ledger = random.Random(seed), Ledger()
    books.register(ledger, started(cash=1e6))
    cash, units, paid = 1e6, {A: 0.0, B: 0.0}, 0.0
    for number in range(500):
        name, side = rng.choice([A, B]), rng.choice(["BUY", "SELL"])
        quantity, price, commission = rng.randint(1, 500) / 10, rng.uniform(5, 500), rng.uniform(0, 3)
        report = filled(f"order-{number}", side, quantity, price, instrument_id=name, commission=commission)
        books.apply(ledger, accepted(f"order-{number}", side, quantity, instrument_id=name))
        assert [books.apply(ledger, report) for _ in range(3)] == [True, False, False]
        sign = 1 if side == "BUY" else -1
        cash, paid = cash - sign * quantity * price - commission, paid + commission
        units[name] += sign * quantity
        books.mark(ledger, name, price * rng.uniform(0.9, 1.1))
        books.check_balance(ledger)
    # An independent account of cash, units and commission.
    assert (ledger.cash, ledger.commission) == (pytest.approx(cash), pytest.approx(paid))
    assert ledger.runs["run"] == pytest.approx({name: quantity for name, quantity in units.items() if quantity})
    value = sum(units[name] * ledger.marks[name] for name in units)
    assert books.equity(ledger) == pytest.approx(cash + value)


def test_survives_json_unchanged(ledger):
    trade(ledger, 1, "BUY", 0.1, 1 / 3, commission=0.1)
    books.apply(ledger, accepted("open", "SELL", 0.1))
    restored = Ledger.model_validate_json(ledger.model_dump_json())
    assert restored == ledger
    assert not books.apply(restored, filled("order-1", "BUY", 0.1, 1 / 3))
    assert books.apply(restored, filled("open", "SELL", 0.1, 1))
