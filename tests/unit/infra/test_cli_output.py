"""What commands print where no person looks at a terminal."""

from __future__ import annotations

import pytest

from infra.cli.output import figure, table
from infra.cli.topics import carries


def test_a_piped_table_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    table("Rows", ("topic", "rows"), [("bars", 1234), ("[red]ticks", None)])
    assert capsys.readouterr().out == "Rows\n  topic       rows\n  bars        1,234\n  [red]ticks  -\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567, "1,234,567"), (0.0123456789, "0.0123457"), (6455.0, "6,455"), (12345.678, "12,345.68")],
)
def test_figures_are_short(value: float, text: str) -> None:
    assert figure(value) == text


def test_topics_say_what_they_carry() -> None:
    assert carries("ticks") == carries("bt.run-1.ticks") == "TickBlock, SliceClosed"
    assert carries("orders.dlq") == "dead letters of orders"
    assert carries("alpha.changelog") == "state of alpha"
    assert carries("something else") == "-"
