"""The report as a file: what it escapes, what it thins, what plotly says of its figures; the browser tests open it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from agents.metrics.series import Levels
from infra.report import Figure, Section, Table, Text, page, part, policy, report
from infra.report.outcomes import monthly
from infra.report.picture import picture
from infra.report.thinning import kept_rows
from orchestrator.backtest import BacktestPlan, following
from orchestrator.settings import load
from orchestrator.strategy import TradingStrategy
from orchestrator.study import Study, study
from orchestrator.wiring import pools_of
from tests.dataplane import sample

INSTRUMENTS, SLICES = sample(["AAPL", "MSFT"], "2012-01-03", "2012-12-31")
EVIL = "<script>alert(1)</script></script><img src=x onerror=alert(2)>\"'&$x$"


@pytest.fixture(scope="module")
def found() -> Study:
    settings = load(overrides={"log_level": "WARNING"}, environ={})
    own = {"momentum_threshold": 0.0, "top": 1, "position_size": 0.9}
    strategy = TradingStrategy("s", EVIL, symbols=["AAPL", "MSFT"], lookback_period=5, parameters=own)
    plan = BacktestPlan(strategy, INSTRUMENTS, settings, f"source {EVIL}", 100_000.0)
    made = study(plan, lambda: following(SLICES), lambda each: pools_of(each.settings, each.fill), command=EVIL)
    return asyncio.run(made)


@pytest.fixture(scope="module")
def html(found: Study) -> str:
    return report(EVIL, [found, replace(found, title="another")])


class Scripts(HTMLParser):
    """Gathers scripts with their attributes, and the elements that there are."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._open = tag == "script"
        if self._open:
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


def parsed(html: str) -> Scripts:
    scripts = Scripts()
    scripts.feed(html)
    return scripts


def test_what_comes_from_outside_stays_text(html: str) -> None:
    found = parsed(html)
    kinds = [attributes.get("type") for attributes, _ in found.scripts]
    assert kinds == ["application/json", "text/plain", None]
    assert "img" not in found.names
    assert not {name for name in found.attributes if name.startswith("on")}
    assert "alert(1)" in html  # it is shown
    data = json.loads(found.scripts[0][1])
    assert data["figures"]


def test_the_head_says_how_far_back_and_how_often_it_decides(html: str) -> None:
    assert "momentum: lookback_period 5, momentum_threshold 0.0, top 1, position_size 0.9; rebalanced daily" in html


def test_the_policy_allows_the_two_scripts_of_the_page_alone(html: str) -> None:
    own = parsed(html).scripts[-1][1]
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy()
    assert policy().startswith("default-src 'none'")
    assert "unsafe-inline" not in policy().split("style-src")[0]
    assert policy().replace("'", "&#x27;") in html


def test_it_names_no_address(html: str) -> None:
    without_code = re.sub(r'<script type="text/plain".*?</script>', "", html, flags=re.DOTALL)
    assert not re.search(r"https?://|//[a-z]+\.[a-z]", without_code)
    assert len(html) < 3_500_000


def test_the_same_study_is_the_same_page(found: Study, html: str) -> None:
    assert report(EVIL, [found, replace(found, title="another")]) == html


def test_plotly_knows_every_key_of_the_figures(found: Study) -> None:
    figures = [figure for section in part(found).sections for figure in section.blocks if isinstance(figure, Figure)]
    assert len(figures) >= 7
    for figure in figures:
        spec = json.loads(re.sub(r'"@[a-z-]+"', '"#123456"', json.dumps(figure.spec)))
        go.Figure(spec)  # raises for a key or a value that plotly does not know
        assert figure.label


def test_headings_are_in_order(found: Study) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", report("one", [found]))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= before + 1 for before, later in pairwise(levels))


def test_months_and_years_by_hand() -> None:
    days = np.array(["2011-12-30", "2012-01-31", "2012-02-29", "2012-12-31"], "datetime64[ns]").astype("i8")
    table = monthly(Levels(days, np.array([110.0, 121.0, 108.9, 217.8])), 100.0)
    assert table.keys() == {2011, 2012}
    assert table[2011] == pytest.approx({12: 0.1, 0: 0.1})
    assert table[2012] == pytest.approx({1: 0.1, 2: -0.1, 12: 1.0, 0: 0.98})


def test_thinning_keeps_the_extremes_of_every_column() -> None:
    values = np.random.default_rng(1).normal(size=(2, 100_000)).cumsum(axis=1)
    values[0, 77_777], values[1, 33_333] = 1e6, -1e6
    kept = kept_rows(list(values), 1000)
    assert len(kept) <= 1002
    assert {0, 77_777, 33_333, 99_999} <= set(kept)
    assert (np.diff(kept) > 0).all()
    for column in values:
        assert (column[kept].min(), column[kept].max()) == (column.min(), column.max())
    assert kept_rows([values[0][:50]], 50).tolist() == list(range(50))
    assert kept_rows([]).tolist() == []


def test_a_long_run_is_capped_and_says_so(found: Study) -> None:
    many = [found.fills[at % len(found.fills)] for at in range(12_340)]
    shown = report("long", [replace(found, fills=many)])
    assert "The last 500 of 12,340 fills." in shown
    assert shown.count('class="open"') <= 500 + len(found.denials)


def test_a_page_of_sections_of_ones_own() -> None:
    spec: dict[str, Any] = {"data": [{"type": "bar", "x": [1], "y": [2], "marker": {"color": "@blue"}}], "layout": {}}
    blocks = (Text("words"), Figure(spec, "one bar"), Table("rows", ("a", "#b"), [["x", "1"]]))
    shown = page("Mine", [Section("Own", blocks)])
    assert "<h1>Mine</h1>" in shown
    assert 'aria-label="one bar"' in shown
    assert '"part0-0-1"' in shown


def test_the_picture_is_the_same_each_time(found: Study, tmp_path: Path) -> None:
    one, two = (picture(found, tmp_path / f"{name}.png").read_bytes() for name in "ab")
    assert one[:4] == b"\x89PNG"
    assert one == two
    assert len(one) < 400_000
