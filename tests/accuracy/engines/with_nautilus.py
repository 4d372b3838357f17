"""The workloads with NautilusTrader: an order fills at the close, or the opening trade, that it is sent on."""

from __future__ import annotations

import math
from collections import deque
from decimal import Decimal

import numpy as np
import pandas as pd
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import AccountType, CurrencyType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler, TradeTickDataWrangler
from nautilus_trader.trading.strategy import Strategy

from tests.accuracy.engines.common import CASH, FEE, Result, best, main

MADE = Venue("MADE")
MONEY = Currency("MUSD", 8, 0, "Dollars that are not rounded to cents", CurrencyType.FIAT)
DEEP = 1e9
"""Units on offer at each price: the rules know no limit."""


class Follow(Strategy):  # type: ignore[misc]
    """Trade to targets, at the close they are made on or at the next open."""

    def __init__(self, instruments: list[Equity], bar_types: list[BarType], at_open: bool) -> None:
        super().__init__()
        self.instruments, self.bar_types, self.at_open = instruments, bar_types, at_open
        self.held = dict.fromkeys((each.id for each in instruments), 0)
        self.wanted, self.fills = dict(self.held), 0

    def on_start(self) -> None:
        """Ask for the data."""
        for instrument, bar_type in zip(self.instruments, self.bar_types, strict=True):
            self.subscribe_bars(bar_type)
            if self.at_open:
                self.subscribe_trade_ticks(instrument.id)

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Trade at the open."""
        self.trade(tick.instrument_id)

    def on_order_filled(self, event: object) -> None:
        """Count fills."""
        self.fills += 1

    def trade(self, name: InstrumentId) -> None:
        """Send what is missing."""
        change = self.wanted[name] - self.held[name]
        if change:
            self.held[name] += change
            side = OrderSide.BUY if change > 0 else OrderSide.SELL
            self.submit_order(self.order_factory.market(name, side, Quantity(abs(change), 0)))

    def worth(self, closes: dict[InstrumentId, float]) -> float:
        """Return cash and positions."""
        cash = self.cache.account_for_venue(MADE).balance_total(MONEY).as_double()
        return cash + sum(units * closes[name] for name, units in self.held.items() if units)


class SmaCross(Follow):
    """Long 1,000 units while SMA20 > SMA50."""

    def __init__(self, instruments: list[Equity], bar_types: list[BarType], at_open: bool, bars: int) -> None:
        super().__init__(instruments, bar_types, at_open)
        self.closes: deque[float] = deque(maxlen=50)

    def on_bar(self, bar: Bar) -> None:
        """Decide."""
        self.closes.append(bar.close.as_double())
        if len(self.closes) == 50:
            closes, name = list(self.closes), bar.bar_type.instrument_id
            self.wanted[name] = 1_000 if sum(closes[-20:]) / 20 > sum(closes) / 50 else 0
            if not self.at_open:
                self.trade(name)


class TopReturns(Follow):
    """The 20 highest returns over 126 days, 4.75 % of equity each."""

    def __init__(self, instruments: list[Equity], bar_types: list[BarType], at_open: bool, bars: int) -> None:
        super().__init__(instruments, bar_types, at_open)
        self.days, self.day = bars, 0
        self.history: deque[np.ndarray] = deque(maxlen=127)
        self.today: dict[InstrumentId, float] = {}

    def on_bar(self, bar: Bar) -> None:
        """Decide once the day's last bar is there."""
        self.today[bar.bar_type.instrument_id] = bar.close.as_double()
        if len(self.today) < len(self.held):
            return
        names, closes, self.day = [each.id for each in self.instruments], self.today, self.day + 1
        self.history.append(np.array([closes[name] for name in names]))
        self.today = {}
        if self.day <= 126 or self.day == self.days:
            return
        equity, chosen = self.worth(closes), set(best(np.array(self.history)))
        for column, name in enumerate(names):
            self.wanted[name] = math.floor(0.0475 * equity / closes[name]) if column in chosen else 0
        for name in names if not self.at_open else ():
            self.trade(name)


def run(workload: str, frames: dict[str, pd.DataFrame], fill: str) -> Result:
    """Run a workload."""
    at_open = {"next_open": True, "same_close": False}[fill]
    # Its own checks would deny purchases that a day's sales, sent later, pay for.
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig(bypass=True), run_analysis=False
        )
    )
    engine.add_venue(
        MADE,
        OmsType.NETTING,
        AccountType.CASH,
        [Money(CASH[workload], MONEY)],
        base_currency=MONEY,
        bar_execution=True,
        trade_execution=True,
        allow_cash_borrowing=True,
    )
    step = pd.Timedelta(minutes=1) if workload == "a" else pd.Timedelta(hours=7)
    kind = "1-MINUTE-LAST-EXTERNAL" if workload == "a" else "1-DAY-LAST-EXTERNAL"
    instruments = [_instrument(name) for name in frames]
    bar_types = [BarType.from_str(f"{each.id}-{kind}") for each in instruments]
    for instrument, bar_type, frame in zip(instruments, bar_types, frames.values(), strict=True):
        engine.add_instrument(instrument)
        closing = frame.assign(volume=4 * DEEP).set_axis((frame.index + step).tz_localize("UTC"))
        engine.add_data(BarDataWrangler(bar_type, instrument).process(closing), sort=instrument is instruments[-1])
        if at_open:
            trades = pd.DataFrame(
                {"price": frame.open, "quantity": DEEP, "trade_id": np.arange(len(frame)).astype(str)}
            )
            # The last bar closes where this one opens, and comes first.
            trades.index = frame.index.tz_localize("UTC") + pd.Timedelta(1, "ns")
            engine.add_data(TradeTickDataWrangler(instrument).process(trades), sort=instrument is instruments[-1])
    bars = len(next(iter(frames.values())))
    strategy = (TopReturns if workload == "b" else SmaCross)(instruments, bar_types, at_open, bars)
    engine.add_strategy(strategy)
    engine.run()
    closes = {each.id: float(frame.close.iloc[-1]) for each, frame in zip(instruments, frames.values(), strict=True)}
    return strategy.fills, strategy.worth(closes)


def _instrument(symbol: str) -> Equity:
    return Equity(
        instrument_id=InstrumentId(Symbol(symbol), MADE),
        raw_symbol=Symbol(symbol),
        currency=MONEY,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
        maker_fee=Decimal(str(FEE)),
        taker_fee=Decimal(str(FEE)),
    )


if __name__ == "__main__":
    main("NautilusTrader", "nautilus_trader", run)
