"""Quantities: lots, and what is rounding only."""

from __future__ import annotations

import math
import sys

DUST = 1e-12
"""Quantities below this, absolute or relative to what was traded, are rounding and count as zero."""
_SLACK = 1e-9
"""Share of a lot that counts as rounding."""


def is_dust(quantity: float, scale: float) -> bool:
    """Return whether a quantity is rounding only, next to quantities of the given scale."""
    return abs(quantity) < DUST * max(1.0, scale)


def floor_to_lot(quantity: float, lot: float) -> float:
    """Round signed units toward zero to a multiple of the lot; 2.9999999999 lots are 3."""
    lots = abs(quantity) / lot
    whole = math.floor(lots + _SLACK + 4 * sys.float_info.epsilon * lots)
    return math.copysign(round(whole * lot, 12), quantity)


def is_whole_lots(quantity: float, lot: float) -> bool:
    """Return whether a quantity is a multiple of the lot, but for rounding."""
    return is_dust(quantity - floor_to_lot(quantity, lot), quantity)
