"""Money adds up after every event, over seeded sequences of all order types, corporate actions, interest and margin."""

import random
from collections import Counter

import pytest

from agents.alpha.pool import build as build_alpha
from agents.execution.pool import build as build_execution
from agents.execution.venue import Book, act, cancel, fill_same_close, match_bar, submit
from agents.portfolio import actions as book_actions
from agents.portfolio import ledger as books
from agents.portfolio.financing import YEAR_NS, FinancingModel
from agents.portfolio.ledger import Ledger
from agents.portfolio.pool import build as build_portfolio
from agents.quantities import floor_to_lot
from agents.risk import actions as risk_actions
from agents.risk import limits as risk
from agents.risk.limits import RiskAccount
from agents.risk.pool import build as build_risk
from agents.transaction_cost.model import CostModel
from schemas import Bar, CancelOrder, CorporateAction, OrderFilled, OrderProposed, OrderReport, RiskLimits, SubmitOrder
from tests.dataplane import ONE, Plane, bar, instrument, started

DAY = 86_400 * 10**9
NAMES = ("AAA.XNAS", "BBB.XNAS")
RATES = FinancingModel(borrow_rate=0.5, margin_rate=0.9, cash_rate=0.1)
COSTS = CostModel(max_participation=0.2)
LIMITS = RiskLimits(max_daily_loss=1.0, max_gross_exposure=3.0, max_position_weight=2.0, allow_short=True)


class Account:
    """Cash and units by first principles: what the pools' books are held against."""

    def __init__(self, cash):
        self.cash, self.units, self.marks, self.since = cash, dict.fromkeys(NAMES, 0.0), dict.fromkeys(NAMES, 0.0), None

    def until(self, ts):
        years = 0.0 if self.since is None else max(0, ts - self.since) / YEAR_NS
        shorts = sum(-units * self.marks[name] for name, units in self.units.items() if units < 0)
        rate = RATES.cash_rate if self.cash > 0 else RATES.margin_rate
        self.cash += (self.cash * rate - shorts * RATES.borrow_rate) * years
        self.since = ts if self.since is None else max(self.since, ts)

    def equity(self):
        return self.cash + sum(units * self.marks[name] for name, units in self.units.items())


class World:
    """Venue, ledger, risk and the independent account; every message comes twice."""

    def __init__(self, seed, lot, fill_at):
        self.rng, self.lot, self.fill_at = random.Random(seed), lot, fill_at
        self.run = started("r", [instrument(name[:3], lot_size=lot) for name in NAMES], limits=LIMITS)
        self.ledger, self.risk, self.plain = Ledger(), RiskAccount(), Account(self.run.initial_cash)
        self.venue = {name: Book() for name in NAMES}
        self.price = dict.fromkeys(NAMES, 50.0)
        self.waiting, self.seen, self.number = [], Counter(), 0
        books.register(self.ledger, self.run)
        risk.register(self.risk, self.run)

    def day(self, day):
        happened, self.waiting = self.waiting, []
        for name in NAMES:
            happened += self.actions(name, day)
            happened += self.bar(name, day)
        # As in a slice: by time, data before reports.
        for event in sorted(happened, key=lambda event: (event.ts_event, isinstance(event, OrderReport))):
            self.book(event)
        self.until(day * DAY + 100)
        for name in NAMES:
            books.mark(self.ledger, name, self.price[name])
            risk.mark(self.risk, name, self.price[name], f"2012-01-{day:02}")
            self.plain.marks[name] = self.price[name]
            self.check()
        for _ in range(self.rng.randint(0, 3)):
            self.propose(self.rng.choice(NAMES), day * DAY + 100)

    def actions(self, name, day):
        made = []
        for sequence in range(self.rng.choice([0, 0, 0, 1, 2])):
            ratio = self.rng.choice([None, None, None, 2.0, 0.5, 1.5, 2 / 3])
            what = CorporateAction(
                instrument_id=name,
                kind="split" if ratio else "dividend",
                ratio=ratio,
                amount=None if ratio else self.price[name] * self.rng.uniform(0.001, 0.03),
                ex_date=f"2012-01-{day:02}",
                ts_event=day * DAY,
                source="test",
                synthetic=True,
                sequence=sequence,
            )
            self.price[name] = self.price[name] / ratio if ratio else self.price[name] - what.amount
            made += [*act(self.venue[name], what), what]
            assert act(self.venue[name], what) == []
        return made

    def bar(self, name, day):
        opened = self.price[name] * self.rng.uniform(0.96, 1.04)
        self.price[name] = close = opened * self.rng.uniform(0.96, 1.04)
        bar = Bar(
            instrument_id=name,
            interval=self.rng.choice(["1d", "1h"]),
            ts_open=day * DAY,
            ts_event=day * DAY + 100,
            session_date=f"2012-01-{day:02}",
            open=opened,
            high=max(opened, close) * self.rng.uniform(1, 1.03),
            low=min(opened, close) * self.rng.uniform(0.97, 1),
            close=close,
            volume=self.rng.choice([0.0, 800.0, 1e6]),
            adjustment="raw",
            source="test",
            synthetic=True,
        )
        reports = match_bar(self.venue[name], bar, COSTS, self.fill_at)
        assert match_bar(self.venue[name], bar, COSTS, self.fill_at) == []
        return reports

    def propose(self, name, ts):
        self.number += 1
        kind, mark = self.rng.choice(["MARKET", "LIMIT", "STOP", "STOP_LIMIT"]), self.price[name]
        near = {field: mark * self.rng.uniform(0.97, 1.03) for field in ("limit_price", "stop_price")}
        wanted = {"LIMIT": ["limit_price"], "STOP": ["stop_price"], "STOP_LIMIT": list(near)}.get(kind, [])
        proposal = OrderProposed(
            run_id="r",
            strategy_id="s",
            account_id=self.run.account_id,
            instrument_id=name,
            side=self.rng.choice(["BUY", "SELL"]),
            quantity=floor_to_lot(self.rng.uniform(0.1, 2.0) * self.run.initial_cash / mark, self.lot) or self.lot,
            proposal_id=f"p{self.number}",
            signal_id="x",
            order_type=kind,
            time_in_force=self.rng.choice(["DAY", "GTC"]),
            reference_price=mark,
            ts_event=ts,
            **{field: near[field] for field in wanted},
        )
        decision = risk.decide(self.risk, proposal, 0.001, 0.02, ts)
        assert risk.decide(self.risk, proposal, 0.001, 0.02, ts) is None
        self.seen[type(decision).__name__] += 1
        if isinstance(decision, SubmitOrder):
            self.submit(decision)

    def submit(self, order):
        book = self.venue[order.instrument_id]
        self.waiting += [submit(book, order), *fill_same_close(book, order.order_id, COSTS)]
        assert submit(book, order) is None
        if self.rng.random() < 0.1:
            terms = {"run_id": "r", "account_id": order.account_id, "instrument_id": order.instrument_id}
            command = CancelOrder(order_id=order.order_id, reason="x", ts_event=order.ts_event, **terms)
            self.waiting += [report for _ in range(2) if (report := cancel(book, command))]

    def until(self, ts):
        for _ in range(2):
            books.accrue(self.ledger, RATES, ts)
            risk.accrue(self.risk, RATES, ts)
        self.plain.until(ts)
        self.check()

    def book(self, event):
        self.until(event.ts_event)
        self.seen[getattr(event, "kind", type(event).__name__)] += 1
        for applied in (True, False):
            if isinstance(event, CorporateAction):
                assert book_actions.act(self.ledger, event) is applied
                assert risk_actions.act(self.risk, event) is applied
            else:
                assert books.apply(self.ledger, event) is applied
                assert risk.apply(self.risk, event) is applied
        self.plainly(event)
        self.check()

    def plainly(self, event):
        plain, name = self.plain, event.instrument_id
        if isinstance(event, OrderFilled):
            change = event.quantity if event.side == "BUY" else -event.quantity
            plain.cash -= change * event.price + event.commission
            plain.units[name] += change
            plain.marks[name] = plain.marks[name] or event.reference_price
        elif isinstance(event, CorporateAction) and event.ratio:
            plain.units[name], plain.marks[name] = plain.units[name] * event.ratio, plain.marks[name] / event.ratio
        elif isinstance(event, CorporateAction):
            plain.cash += plain.units[name] * event.amount

    def check(self):
        books.check_balance(self.ledger)
        worth = pytest.approx(self.plain.equity(), rel=1e-9, abs=1e-6)
        assert books.equity(self.ledger) == worth
        assert risk.equity(self.risk) == worth
        assert self.risk.cash == pytest.approx(self.ledger.cash, rel=1e-9, abs=1e-6) == self.plain.cash
        held = {name: holding.quantity for name, holding in self.ledger.positions.items()}
        assert self.risk.positions == pytest.approx(held, rel=1e-9)
        update = books.snapshot(self.ledger, 0)
        earned = update.realised_pnl + update.unrealised_pnl - update.commission + update.interest + update.dividends
        assert update.equity == pytest.approx(update.deposits + earned, rel=1e-9, abs=1e-6)
        at_mark = sum(position.quantity * position.mark for position in update.positions)
        assert update.cash + at_mark == pytest.approx(update.equity, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("fill_at", ["next_open", "next_close", "same_close"])
@pytest.mark.parametrize("lot", [1.0, 0.001])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_money_adds_up_after_every_event(seed, lot, fill_at):
    world = World(seed, lot, fill_at)
    for day in range(1, 29):
        world.day(day)
    for name in ("OrderFilled", "OrderExpired", "OrderDenied", "dividend", "split"):
        assert world.seen[name] > 0, world.seen
    assert world.ledger.interest != 0
    assert world.ledger.dividends != 0


def test_two_runs_of_a_sequence_leave_equal_states():
    worlds = [World(7, 0.001, "same_close") for _ in range(2)]
    for world in worlds:
        for day in range(1, 15):
            world.day(day)
    one, other = worlds
    assert (one.ledger, one.risk, one.venue) == (other.ledger, other.risk, other.venue)


def eventful_slices():
    closes, slices = [100.0, 101.0, 104.0, 98.0, 96.0, 97.0, 103.0, 108.0, 101.0, 99.0], []
    for number, close in enumerate(closes):
        price = close / (2 if number >= 4 else 1)
        slices.append([bar(NAMES[0], number, price), bar(NAMES[1], number, close * 2)])
    for name, number, more in (
        (NAMES[0], 4, {"kind": "split", "ratio": 2.0}),
        (NAMES[1], 6, {"kind": "dividend", "amount": 1.5}),
    ):
        first = slices[number][0]
        said = {"instrument_id": name, "ex_date": first.session_date, "ts_event": first.ts_open, "source": "test"}
        slices[number].insert(0, CorporateAction(**said, synthetic=True, **more))
    return slices


async def eventful_run(partitions, kills):
    """Trade over a split, a dividend, interest and same-close fills; return what every topic holds, in one order."""
    financed = {"financing": RATES}
    pools = [
        build_alpha(),
        build_portfolio(initial_capital=1e6, headroom=0.03, **financed),
        build_risk(commission_rate=0.001, cash_buffer=0.02, **financed),
        build_execution(CostModel(), "same_close"),
    ]
    plane, slices = Plane(pools, dict.fromkeys(ONE, partitions) | {"single": 1}), eventful_slices()
    traded = [instrument(name[:3], lot_size=0.001) for name in NAMES]
    parameters = {"position_size": 0.6, "max_gross": 1.2}
    async with plane.running():
        await plane.announce(started("r", traded, limits=LIMITS, parameters=parameters))
        for number, rows in enumerate(slices):
            await plane.publish([rows])
            if number in kills:
                await plane.kill("execution", "portfolio", "risk")
    names = ("orders", "fills", "positions")
    return [sorted((e.envelope.message_id, repr(e.message)) for e in plane.events(name)) for name in names]


async def test_kills_and_partitions_change_no_event():
    calm = await eventful_run(1, ())
    assert all(len(events) > 4 for events in calm)
    assert await eventful_run(1, (3, 4, 6)) == calm
    assert await eventful_run(3, (4,)) == calm
