"""Fills and account states of the tests."""

from schemas import OrderFilled, Position, PositionsUpdated


def filled(side, quantity, price, commission=0.0, name="AAPL.XNAS", run_id="run", multiplier=1.0, **costs):
    """Return a fill; costs are spread_cost and impact_cost."""
    return OrderFilled(
        order_id="o",
        run_id=run_id,
        strategy_id="s",
        account_id="a",
        instrument_id=name,
        side=side,
        quantity=quantity,
        ts_event=1,
        fill_id="f",
        price=price,
        reference_price=price,
        commission=commission,
        **{"spread_cost": 0, "impact_cost": 0, **costs},
        cumulative_quantity=quantity,
        leaves_quantity=0,
        currency="USD",
        multiplier=multiplier,
        data_id="d",
        synthetic=False,
    )


def state(equity, **held):
    """Return an account state with positions by instrument, each (quantity, mark)."""
    return PositionsUpdated(
        account_id="a",
        currency="USD",
        cash=0,
        equity=equity,
        deposits=0,
        realised_pnl=0,
        unrealised_pnl=0,
        commission=0,
        fills=0,
        positions=tuple(
            Position(instrument_id=name, quantity=quantity, average_price=mark, mark=mark, unrealised_pnl=0)
            for name, (quantity, mark) in held.items()
        ),
        ts_event=1,
    )
