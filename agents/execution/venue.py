"""The paper venue: orders in, market data past them, execution reports out; matched by event time, not by arrival."""

from agents.execution.bars import FillAt, match_bar
from agents.execution.book import Book, Working, cancel, submit
from agents.execution.ticks import match_ticks

__all__ = ["Book", "FillAt", "Working", "cancel", "match_bar", "match_ticks", "submit"]
