"""Where a run's signals want each instrument to go, and how much of that fits."""

from __future__ import annotations

from dataclasses import dataclass

from agents.orders import open_quantities
from agents.parameters import ConstructionParameters
from agents.portfolio.ledger import Ledger
from schemas.market import Instrument
from schemas.signals import Signal
from schemas.strategies import StrategyStarted
from streams.errors import ConfigError, MissingData


@dataclass(frozen=True)
class Sizing:
    """A run next to the account it trades on; amounts in the account's currency."""

    ledger: Ledger
    run: StrategyStarted
    parameters: ConstructionParameters
    worth: float
    """Equity, 0 where it is negative."""
    headroom: float
    """Commission and cash buffer as a fraction of what is bought."""


@dataclass(frozen=True)
class Wish:
    """Where a signal wants one instrument to go, next to where it stands."""

    signal_id: str
    instrument: Instrument
    mark: float
    quantity: float
    """The run's signed units, working orders filled."""
    target: float
    """Signed value wanted."""
    exact: bool
    """True where the signal names units: the rebalance band does not apply."""

    @property
    def unit(self) -> float:
        """Return what one unit is worth at mark."""
        return self.mark * self.instrument.multiplier

    @property
    def value(self) -> float:
        """Return what the run's units are worth at mark."""
        return self.quantity * self.unit


def standing(ledger: Ledger, run: StrategyStarted) -> dict[str, float]:
    """Return the run's signed units by instrument once its working orders are filled."""
    held, working = ledger.runs.get(run.run_id, {}), open_quantities(ledger.orders, run.run_id)
    return {name: held.get(name, 0.0) + working.get(name, 0.0) for name in {*held, *working}}


def wish(sizing: Sizing, signal_id: str, signal: Signal, quantity: float) -> Wish:
    """Return a signal's wish, given the units that stand; raise MissingData for an instrument without a mark."""
    instrument, mark = _instrument(sizing.run, signal), _mark(sizing.ledger, signal.instrument_id)
    units = signal.target_quantity
    target = _weight(sizing, signal) * sizing.worth if units is None else units * mark * instrument.multiplier
    return Wish(signal_id, instrument, mark, quantity, target if sizing.worth else 0.0, units is not None)


def kept_value(sizing: Sizing, quantities: dict[str, float]) -> float:
    """Return the sum of |value| of the run's positions in the instruments given."""
    units = {i.instrument_id: i.multiplier for i in sizing.run.instruments}
    return sum(abs(quantities[name]) * _mark(sizing.ledger, name) * units[name] for name in sorted(quantities))


def within_gross(sizing: Sizing, wishes: list[Wish], kept: float) -> tuple[list[Wish], float]:
    """Return the wishes to follow and the factor on their targets.

    Scaling the targets down may bring positions within their band, and keeping those changes the room for the rest.
    """
    while True:
        scale = _scale(sizing, wishes, kept)
        staying = {w.signal_id for w in wishes if _within_band(sizing, w, scale)}
        if not staying:
            return wishes, scale
        kept += sum(abs(w.value) for w in wishes if w.signal_id in staying)
        wishes = [w for w in wishes if w.signal_id not in staying]


def _scale(sizing: Sizing, wishes: list[Wish], kept: float) -> float:
    wanted = sum(abs(w.target) for w in wishes)
    sold = sum(max(0.0, abs(w.value) - abs(w.target)) for w in wishes)
    cap = (sizing.parameters.max_gross * sizing.worth - sizing.headroom * sold) / (1 + sizing.headroom)
    return min(1.0, max(0.0, cap - kept) / wanted) if wanted else 1.0


def _within_band(sizing: Sizing, wish: Wish, scale: float) -> bool:
    target, band = wish.target * scale, sizing.parameters.rebalance_band * sizing.worth
    return not wish.exact and wish.value * target > 0 and abs(target - wish.value) <= band


def _weight(sizing: Sizing, signal: Signal) -> float:
    if signal.target_weight is not None:
        return signal.target_weight
    size = sizing.parameters.position_size or 1 / len(sizing.run.instruments)
    if signal.signal == "BUY":
        return size
    return -size if sizing.run.limits.allow_short else 0.0


def _instrument(run: StrategyStarted, signal: Signal) -> Instrument:
    for instrument in run.instruments:
        if instrument.instrument_id == signal.instrument_id and run.run_id == signal.run_id:
            return instrument
    raise ConfigError(
        f"Run {run.run_id} got a signal of run {signal.run_id} for {signal.instrument_id},"
        f" expected its own for one of {[instrument.instrument_id for instrument in run.instruments]}"
    )


def _mark(ledger: Ledger, instrument_id: str) -> float:
    if instrument_id not in ledger.marks:
        raise MissingData(f"{instrument_id} has no mark in account {ledger.account_id}: no price was seen yet")
    return ledger.marks[instrument_id]
