"""Portfolio construction: from opinions to proposed orders."""

from __future__ import annotations

from collections.abc import Sequence

from agents.parameters import ConstructionParameters, parse_construction
from agents.portfolio.ledger import Ledger, equity
from agents.portfolio.sizing import Sizing, Wish, kept_value, standing, wish, within_gross
from agents.quantities import floor_to_lot
from schemas.orders import OrderProposed
from schemas.signals import Signal
from schemas.strategies import StrategyStarted
from streams.ids import derive_id

_FRACTION = 1e-6
"""Share of a lot that is more than rounding."""

__all__ = ["ConstructionParameters", "floor_to_lot", "propose"]


def propose(
    ledger: Ledger,
    run: StrategyStarted,
    signals: Sequence[tuple[str, Signal]],
    ts: int,
    *,
    headroom: float = 0.01,
) -> list[OrderProposed]:
    """Return the orders that move a run to its signals' targets; signals come with their message ids.

    BUY aims at position_size x equity, SELL at 0, or at -position_size x equity where the run may short; a signal's
    own target_weight or target_quantity replaces either; HOLD keeps; the last signal of an instrument counts.
    Quantities are rounded to lots toward zero, working orders count as filled; a target of 0 also sells the fraction of
    a lot that a split left.
    A position that already has its target's direction is resized only where its weight is off by more than
    rebalance_band (a target_quantity is always followed). Targets together, and headroom (commission and cash buffer
    as a fraction of what is traded), stay within max_gross x equity: positions that are kept count first, the others
    share what is left in proportion. Without equity every target is 0.
    Sales come before purchases, each in instrument order. Raises MissingData for an instrument without a mark,
    ConfigError for a signal of another run or instrument.
    """
    sizing = Sizing(ledger, run, parse_construction(run.parameters), max(equity(ledger), 0.0), headroom)
    latest = {signal.instrument_id: (name, signal) for name, signal in signals}
    heard = {name: latest[name] for name in sorted(latest) if latest[name][1].signal != "HOLD"}
    units = standing(ledger, run)
    wishes = [wish(sizing, *heard[name], units.get(name, 0.0)) for name in heard]
    kept = kept_value(sizing, {name: quantity for name, quantity in units.items() if quantity and name not in heard})
    moving, scale = within_gross(sizing, wishes, kept)
    orders = [order for w in moving if (order := _order(run, w, scale, ts))]
    return sorted(orders, key=lambda order: order.side, reverse=True)


def _order(run: StrategyStarted, wish: Wish, scale: float, ts: int) -> OrderProposed | None:
    lot = wish.instrument.lot_size
    target = floor_to_lot(wish.target * scale / wish.unit, lot)
    change = floor_to_lot(target - wish.quantity, lot)
    if target == 0 and abs(wish.quantity - floor_to_lot(wish.quantity, lot)) > _FRACTION * lot:
        change = -wish.quantity
    if change == 0:
        return None
    return OrderProposed(
        run_id=run.run_id,
        strategy_id=run.strategy_id,
        account_id=run.account_id,
        instrument_id=wish.instrument.instrument_id,
        side="BUY" if change > 0 else "SELL",
        quantity=abs(change),
        proposal_id=derive_id(wish.signal_id, "portfolio", 0),
        signal_id=wish.signal_id,
        reference_price=wish.mark,
        ts_event=ts,
    )
