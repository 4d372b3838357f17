import pytest

from agents.execution.lifecycle import TRANSITIONS, IllegalTransition, ended, next_status
from schemas import OrderAccepted, OrderCanceled, OrderExpired, OrderFilled, OrderRejected

TERMS = {
    "order_id": "o",
    "run_id": "r",
    "strategy_id": "s",
    "account_id": "a",
    "instrument_id": "AAPL.XNAS",
    "side": "BUY",
    "quantity": 1,
    "ts_event": 1,
}


def filled(leaves):
    money = {"price": 1, "reference_price": 1, "commission": 0, "spread_cost": 0, "impact_cost": 0, "currency": "USD"}
    rest = {"fill_id": "f", "data_id": "d", "synthetic": False, "multiplier": 1, "cumulative_quantity": 1}
    return OrderFilled(**TERMS, **money, **rest, leaves_quantity=leaves)


REPORTS = {
    "ACCEPTED": OrderAccepted(**TERMS),
    "REJECTED": OrderRejected(**TERMS, reason="x"),
    "PARTIALLY_FILLED": filled(1),
    "FILLED": filled(0),
    "CANCELED": OrderCanceled(**TERMS, reason="x"),
    "EXPIRED": OrderExpired(**TERMS),
}
LEGAL = {
    *((before, after) for before in ("INITIALIZED", "SUBMITTED") for after in ("ACCEPTED", "REJECTED")),
    *(
        (before, after)
        for before in ("ACCEPTED", "PARTIALLY_FILLED")
        for after in ("PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED")
    ),
}


@pytest.mark.parametrize("before", sorted(TRANSITIONS))
@pytest.mark.parametrize("after", sorted(REPORTS))
def test_only_the_listed_transitions_are_legal(before, after):
    if (before, after) in LEGAL:
        assert next_status(before, REPORTS[after]) == after
    else:
        with pytest.raises(IllegalTransition, match=f"Order o is {before}, cannot become {after}"):
            next_status(before, REPORTS[after])


def test_four_statuses_end_an_order():
    assert {status for status in TRANSITIONS if ended(status)} == {"REJECTED", "FILLED", "CANCELED", "EXPIRED"}
