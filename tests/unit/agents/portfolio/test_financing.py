"""Margin interest, borrow fees and interest on cash: by hand, in both books, and through the pools."""

import pytest
from pydantic import ValidationError

from agents.alpha.pool import build as build_alpha
from agents.execution.pool import build as build_execution
from agents.portfolio import ledger as books
from agents.portfolio.financing import NO_FINANCING, YEAR_NS, FinancingModel
from agents.portfolio.ledger import Ledger
from agents.portfolio.pool import build as build_portfolio
from agents.risk import limits as risk
from agents.risk.limits import RiskAccount
from agents.risk.pool import build as build_risk
from schemas import OrderFilled, PositionsUpdated, RiskLimits
from tests.dataplane import COMMISSION, COSTS, SERDE, Plane, bar, instrument, started
from tests.unit.agents.portfolio.test_ledger import A, accepted, filled
from tests.unit.agents.portfolio.test_ledger import started as ledger_run

DAY = 86_400 * 10**9
RATES = FinancingModel(borrow_rate=0.0365, margin_rate=0.073, cash_rate=0.01825)


@pytest.mark.parametrize(
    ("cash", "shorts", "days", "interest"),
    [
        (10_000, 0, 10, 5.0),  # 10,000 x 0.01825 x 10/365
        (-10_000, 0, 10, -20.0),  # 10,000 x 0.073 x 10/365
        (0, 10_000, 1, -1.0),  # 10,000 x 0.0365 x 1/365
        (10_000, 10_000, 1, -0.5),
        (-1_000, 1_000, 0.5, -0.15),  # half a day: 0.1 of margin, 0.05 of borrowing
        (0, 0, 365, 0.0),
    ],
)
def test_interest_by_hand(cash, shorts, days, interest):
    assert RATES.interest(cash, shorts, int(days * DAY)) == pytest.approx(interest)


def test_a_year_charges_the_rate_and_nothing_is_charged_by_default():
    assert FinancingModel(margin_rate=0.05).interest(-100, 0, YEAR_NS) == pytest.approx(-5)
    assert NO_FINANCING.interest(-100, 100, YEAR_NS) == 0
    assert not NO_FINANCING.charges
    with pytest.raises(ValidationError):
        FinancingModel(borrow_rate=-0.01)


@pytest.fixture
def both():
    ledger, account, run = Ledger(), RiskAccount(), ledger_run()
    books.register(ledger, run)
    risk.register(account, run)
    return ledger, account


def accrue(both, ts):
    books.accrue(both[0], RATES, ts)
    risk.accrue(both[1], RATES, ts)
    books.check_balance(both[0])
    assert both[1].cash == pytest.approx(both[0].cash, rel=1e-12)
    return both[0].interest


def trade(both, number, side, quantity, price):
    for report in (accepted(f"o{number}", side, quantity), filled(f"o{number}", side, quantity, price)):
        assert books.apply(both[0], report)
        assert risk.apply(both[1], report)


def test_interest_accrues_on_what_stands_between_the_events(both):
    # Day 0 starts the clock with 1,000. Day 1: cash 1,000 x 0.01825 / 365 = 0.05. Then 100 are sold short at 50.
    assert accrue(both, 5 * DAY) == 0
    assert accrue(both, 6 * DAY) == pytest.approx(0.05)
    trade(both, 1, "SELL", 100, 50)
    # Day 2: cash 6,000.05 earns 0.3000025, shorts of 5,000 cost 0.5.
    assert accrue(both, 7 * DAY) == pytest.approx(0.05 + 0.3000025 - 0.5)
    # The mark of 60 counts from now on: 6,000 cost 0.6 a day.
    books.mark(both[0], A, 60.0)
    risk.mark(both[1], A, 60.0, "2012-01-03")
    cash, before = both[0].cash, both[0].interest
    assert accrue(both, 8 * DAY) - before == pytest.approx(cash * 0.00005 - 0.6)
    # 200 bought: cash is below zero, the shorts are gone.
    trade(both, 2, "BUY", 200, 60)
    cash, before = both[0].cash, both[0].interest
    assert cash < 0
    assert accrue(both, 9 * DAY) - before == pytest.approx(cash * 0.0002)


def test_the_same_time_again_or_an_earlier_one_charges_nothing(both):
    accrue(both, 5 * DAY)
    accrue(both, 6 * DAY)
    before = [state.model_copy(deep=True) for state in both]
    for ts in (6 * DAY, 5 * DAY):
        accrue(both, ts)
    assert list(both) == before
    restored = [type(state).model_validate_json(state.model_dump_json()) for state in both]
    assert accrue(restored, 7 * DAY) == accrue(both, 7 * DAY)


def test_cutting_a_time_in_two_charges_the_same_but_for_compounding(both):
    for ts in (0, DAY, 2 * DAY):
        accrue(both, ts)
    assert both[0].interest == pytest.approx(0.05 + 1000.05 * 0.00005)


def pools(financing):
    return [
        build_alpha(),
        build_portfolio(initial_capital=1e6, headroom=COMMISSION + 0.02, financing=financing),
        build_risk(commission_rate=COMMISSION, cash_buffer=0.02, financing=financing),
        build_execution(COSTS),
    ]


def saved(plane, kind, pool):
    """Return the last state of a class on a pool's changelog."""
    records = [SERDE.decode(each.value) for each in plane.records(f"{pool}.changelog") if each.value is not None]
    mine = [each.state for each in records if each.key.startswith(f"{kind.__name__}:")]
    return kind.model_validate_json(mine[-1])


async def test_both_pools_charge_the_same_as_an_account_by_hand():
    plane = Plane(pools(RATES))
    limits = RiskLimits(max_daily_loss=1.0, allow_short=True)
    closes = (100.0, 99.0, 98.0, 97.0, 99.0, 103.0, 104.0, 101.0)
    async with plane.running():
        await plane.announce(started("r", [instrument("AAA")], limits=limits, parameters={"position_size": 0.4}))
        await plane.publish([[bar("AAA.XNAS", day, close)] for day, close in enumerate(closes)])
    # An independent account: the events in time order, interest on what stood before each.
    fills = [(fill.ts_event, 0, fill) for fill in plane.of(OrderFilled)]
    marks = [(update.ts_event, 1, update) for update in plane.of(PositionsUpdated)]
    cash, units, mark, since, interest = 100_000.0, 0.0, 0.0, marks[0][0], 0.0
    prices = dict(zip([ts for ts, _, _ in marks], closes, strict=True))
    for ts, _, event in sorted(fills + marks, key=lambda item: item[:2]):
        amount = RATES.interest(cash, max(0.0, -units * mark), max(0, ts - since))
        cash, interest, since = cash + amount, interest + amount, max(ts, since)
        if isinstance(event, OrderFilled):
            change = event.quantity if event.side == "BUY" else -event.quantity
            cash, units = cash - change * event.price - event.commission, units + change
        else:
            mark = prices[ts]
            assert event.interest == pytest.approx(interest)
            assert event.equity == pytest.approx(cash + units * mark)
    assert len(fills) >= 2
    assert saved(plane, RiskAccount, "risk").cash == pytest.approx(saved(plane, Ledger, "portfolio").cash, rel=1e-12)
    assert min(update.interest for _, _, update in marks) < max(update.interest for _, _, update in marks)
