"""The paper venue: orders in, market data past them, execution reports out; matched by event time, not by arrival."""

from agents.execution.actions import act
from agents.execution.bars import fill_same_close, match_bar
from agents.execution.book import Book, Working
from agents.execution.intake import cancel, submit
from agents.execution.prices import FillAt
from agents.execution.ticks import match_ticks

__all__ = ["Book", "FillAt", "Working", "act", "cancel", "fill_same_close", "match_bar", "match_ticks", "submit"]
