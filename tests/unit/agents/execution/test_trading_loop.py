"""Construction, risk, venue and ledger together, slice by slice, as the pools' glue runs them."""

import random

import pytest

from agents.execution.venue import Book, match_bar, submit
from agents.portfolio import ledger as books
from agents.portfolio.construction import propose
from agents.portfolio.ledger import Ledger
from agents.risk import limits as risk
from agents.risk.limits import RiskAccount
from agents.transaction_cost.model import CostModel
from schemas import Bar, Instrument, OrderDenied, RiskLimits, Signal, StrategyStarted, SubmitOrder

NAMES = ("AAPL.XNAS", "GOOGL.XNAS", "MSFT.XNAS")
DAY = 86_400 * 10**9


def started(lot, parameters):
    instruments = tuple(
        Instrument(
            instrument_id=name,
            symbol=name[:4],
            venue="XNAS",
            currency="USD",
            tick_size=0.01,
            lot_size=lot,
            calendar="XNYS",
        )
        for name in NAMES
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
        parameters=parameters,
        instruments=instruments,
        currency="USD",
        initial_cash=100_000,
        limits=RiskLimits(max_daily_loss=1.0),
        ts_event=1,
    )


class Loop:
    """One account; what it submits on a slice fills on the next."""

    def __init__(self, lot=1.0, redeliver=False, **parameters):
        self.run, self.redeliver = started(lot, parameters), redeliver
        self.account, self.ledger = RiskAccount(), Ledger()
        self.venue = {name: Book() for name in NAMES}
        self.denied = []
        risk.register(self.account, self.run)
        books.register(self.ledger, self.run)

    def slice(self, day, prices, signals, volume=1e6):
        for name, (opened, closed) in prices.items():
            for report in match_bar(self.venue[name], self.bar(name, day, opened, closed, volume), CostModel()):
                self.report(report)
            books.mark(self.ledger, name, closed)
            risk.mark(self.account, name, closed, f"2012-01-{day:02}")
        books.check_balance(self.ledger)
        heard = [(f"{day}-{name}", self.signal(name, direction)) for name, direction in signals.items()]
        for proposal in propose(self.ledger, self.run, heard, day, headroom=0.006):
            self.decide(proposal, day * DAY + 100)

    def decide(self, proposal, ts):
        decision = risk.decide(self.account, proposal, 0.001, 0.005, ts, count_sales=True)
        if isinstance(decision, OrderDenied):
            self.denied.append(decision)
        if isinstance(decision, SubmitOrder):
            self.report(submit(self.venue[decision.instrument_id], decision))
            if self.redeliver:
                assert risk.decide(self.account, proposal, 0.001, 0.005, ts, count_sales=True) is None
                assert submit(self.venue[decision.instrument_id], decision) is None

    def report(self, report):
        for applied in (True, False) if self.redeliver else (True,):
            assert books.apply(self.ledger, report) is applied
            # Risk knew the order when it made it, so that its acceptance is news to it too.
            assert risk.apply(self.account, report) is applied

    def bar(self, name, day, opened, closed, volume):
        return Bar(
            instrument_id=name,
            interval="1d",
            ts_open=day * DAY,
            ts_event=day * DAY + 100,
            session_date=f"2012-01-{day:02}",
            open=opened,
            high=max(opened, closed),
            low=min(opened, closed),
            close=closed,
            volume=volume,
            adjustment="raw",
            source="test",
            synthetic=True,
        )

    def signal(self, name, direction):
        more = {"score": 0, "confidence": 1, "price": 10, "model": "m", "ts_event": 7}
        return Signal(run_id="run", strategy_id="s", account_id="acc", instrument_id=name, signal=direction, **more)


def flat(price=10.0):
    return dict.fromkeys(NAMES, (price, price))


def test_equal_shares_are_bought_in_full():
    loop = Loop()
    loop.slice(1, flat(), dict.fromkeys(NAMES, "BUY"))
    loop.slice(2, flat(), {})
    # 100,000 / 1.006 / 3 / 10 = 3,313 each.
    assert {holding.quantity for holding in loop.ledger.positions.values()} == {3313}
    assert loop.denied == []


def test_a_rotation_sells_and_buys_in_one_slice():
    loop = Loop(position_size=1.0)
    loop.slice(1, flat(), {NAMES[0]: "BUY"})
    loop.slice(2, flat(), {NAMES[0]: "SELL", NAMES[1]: "BUY"})
    loop.slice(3, flat(), {})
    assert list(loop.ledger.positions) == [NAMES[1]]
    assert loop.denied == []
    assert loop.ledger.cash >= 0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("lot", [1.0, 0.001])
def test_ledger_and_risk_agree_over_random_slices_with_redelivery(seed, lot):
    rng, loop = random.Random(seed), Loop(lot, redeliver=True, rebalance_band=0.0, position_size=0.4)
    price = dict.fromkeys(NAMES, 50.0)
    for day in range(1, 29):
        prices = {}
        for name in NAMES:
            opened = price[name] * rng.uniform(0.97, 1.03)
            price[name] = opened * rng.uniform(0.97, 1.03)
            prices[name] = (opened, price[name])
        signals = {name: rng.choice(["BUY", "SELL", "HOLD"]) for name in NAMES}
        loop.slice(day, prices, signals, volume=rng.choice([1e6, 3000.0]))
        assert loop.account.cash == pytest.approx(loop.ledger.cash, rel=1e-12)
        assert loop.account.positions == pytest.approx({n: h.quantity for n, h in loop.ledger.positions.items()})
        assert risk.equity(loop.account) == pytest.approx(books.equity(loop.ledger), rel=1e-12)
        assert all(holding.quantity > 0 for holding in loop.ledger.positions.values())
        assert set(loop.account.reservations) <= set(loop.account.orders.open)
    assert loop.ledger.fills > 20
