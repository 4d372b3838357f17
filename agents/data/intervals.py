"""Bar intervals: names such as 1m, 1h and 1d, and their lengths in ns."""

from __future__ import annotations

import re

from streams.errors import ConfigError

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
_UNITS = {"d": DAY_NS, "h": 3_600 * SECOND_NS, "m": 60 * SECOND_NS, "s": SECOND_NS}


def interval_ns(interval: str) -> int:
    """Return the length of an interval in ns; ConfigError where it is not a number and one of s, m, h, d."""
    match = re.fullmatch(r"([1-9]\d{0,5})([smhd])", interval)
    if match is None:
        raise ConfigError(f"Unknown interval {interval!r}, expected a whole number and one of s, m, h, d such as 1d")
    return int(match[1]) * _UNITS[match[2]]


def interval_name(length_ns: int) -> str:
    """Return the one name of a length in whole seconds: 60 s is 1m, 90 s is 90s."""
    for unit, unit_ns in _UNITS.items():
        if length_ns >= unit_ns and length_ns % unit_ns == 0:
            return f"{length_ns // unit_ns}{unit}"
    raise ConfigError(f"An interval is a whole number of seconds, got {length_ns} ns")
