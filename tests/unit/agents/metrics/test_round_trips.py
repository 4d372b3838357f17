import numpy as np
import pytest

from agents.metrics import performance_metrics
from agents.metrics.trips import closed_trips, round_trips
from tests.unit.agents.metrics.messages import filled


def test_round_trips_by_hand():
    fills = [
        # Average (10 x 20 + 10 x 22) / 20 = 21, out at 24 in two parts: 60, less 4 commission.
        filled("BUY", 10, 20, 1),
        filled("BUY", 10, 22, 1),
        filled("SELL", 5, 24, 1),
        filled("SELL", 15, 24, 1),
        # Another instrument, still open.
        filled("BUY", 1, 5, 7, name="MSFT.XNAS"),
        # Long 4 at 10, then sells 8 at 9: closes at -4 less half of 2, opens a short at 9 with the other half.
        filled("BUY", 4, 10, 0),
        filled("SELL", 8, 9, 2),
        # Covered at 6: 4 x 3 = 12, less 1 and 0.5.
        filled("BUY", 4, 6, 0.5),
    ]
    assert round_trips(fills) == pytest.approx([56, -5, 10.5])
    metrics = performance_metrics(np.array([100.0, 101.0]), [0, 1], fills)
    assert metrics["win_rate"] == pytest.approx(2 / 3)
    assert metrics["profit_factor"] == pytest.approx(66.5 / 5)


def test_runs_and_multipliers_are_kept_apart():
    fills = [
        filled("BUY", 1, 10, run_id="one", multiplier=50),
        filled("SELL", 1, 11, run_id="two"),
        filled("SELL", 1, 12, run_id="one", multiplier=50),
    ]
    assert round_trips(fills) == [100]


def test_no_losing_trip_has_no_profit_factor():
    metrics = performance_metrics(np.array([1.0]), [0], [filled("BUY", 1, 10), filled("SELL", 1, 11)])
    assert (metrics["win_rate"], metrics["profit_factor"]) == (1.0, None)


def test_a_closed_trip_tells_what_went_in_and_out():
    # Long 4 at 10 and 6 at 20 (mean 16), out 10 at 19 with 2 commission: 30 - 2. Then a crossing: long 2, sells 5.
    fills = [
        filled("BUY", 4, 10),
        filled("BUY", 6, 20),
        filled("SELL", 10, 19, 2),
        filled("BUY", 2, 30),
        filled("SELL", 5, 33, 5),
        filled("BUY", 3, 30),
    ]
    whole, long, short = closed_trips(fills)
    assert (whole.side, whole.quantity, whole.entry_price, whole.exit_price) == ("LONG", 10, 16, 19)
    assert (whole.profit, whole.cost) == (28, 160)
    assert whole.share == pytest.approx(0.175)
    assert (long.side, long.quantity, long.entry_price, long.exit_price, long.profit) == ("LONG", 2, 30, 33, 4)
    assert (short.side, short.quantity, short.entry_price, short.exit_price, short.profit) == ("SHORT", 3, 33, 30, 6)
