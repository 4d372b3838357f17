"""Reports of sandbox results, made of results that really ran."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from infra.cli.app import run as finagent
from infra.report import sandbox_report
from orchestrator import FinAgentOrchestrator, SandboxEnvironment, SandboxMode, TestScenario
from streams.errors import InvalidData

PERIOD = {"start_date": "2012-01-03", "end_date": "2012-04-30"}
SCENARIOS = {
    "historical_backtest": {"symbols": ["AAPL", "MSFT"]},
    "stress_test": {"stress_scenarios": ["market_crash"], "severity_levels": [0.5, 1.0]},
    "ab_test": {"strategies": ["momentum", "equal_weight"], "resamples": 100},
    "monte_carlo": {"paths": 8, "seed": 3},
}


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    async def every() -> dict[str, dict[str, Any]]:
        sandbox = SandboxEnvironment(orchestrator=FinAgentOrchestrator())
        found = {}
        for mode, more in SCENARIOS.items():
            scenario = TestScenario("<b>one</b>", "<b>One</b>", SandboxMode(mode), {**PERIOD, **more})
            found[mode] = json.loads(json.dumps(await sandbox.run_test_scenario(scenario), default=str))
        await sandbox.cleanup()
        return found

    return asyncio.run(every())


@pytest.mark.parametrize(
    ("mode", "charts"), [("historical_backtest", 0), ("stress_test", 2), ("ab_test", 2), ("monte_carlo", 2)]
)
def test_a_result_becomes_a_page(results: dict[str, dict[str, Any]], mode: str, charts: int) -> None:
    result = results[mode]
    html = sandbox_report(result)
    figures = json.loads(re.search(r'id="data">(.*?)</script>', html)[1])["figures"]  # type: ignore[index]
    assert len(figures) == charts
    for spec in figures.values():
        go.Figure(json.loads(re.sub(r'"@[a-z-]+"', '"#123456"', json.dumps(spec))))
    shown = dict(re.findall(r'data-figure="(\w+)" data-value="([^"]+)"', html))
    assert len(shown) == 5
    assert {name: float(value) for name, value in shown.items()} == {
        name: result["performance_metrics"][name] for name in shown
    }
    assert result["manifest"]["data_sha256"] in html
    assert "<b>" not in html
    assert "&lt;b&gt;One&lt;/b&gt;" in html


def test_each_page_says_what_its_mode_found(results: dict[str, dict[str, Any]]) -> None:
    worst = max(run["loss_share"] for run in results["stress_test"]["stress"]["runs"])
    assert f"{worst:,.2%}" in sandbox_report(results["stress_test"])
    test = sandbox_report(results["ab_test"])
    assert f"{results['ab_test']['ab_test']['p_value']:.3f}" in test
    paths = sandbox_report(results["monte_carlo"])
    assert f"{results['monte_carlo']['monte_carlo']['distribution']['final_value']['percentiles']['50']:,.2f}" in paths
    assert "REAL DATA, RESAMPLED" in paths


@pytest.mark.parametrize(
    "result", [{}, {"manifest": {}}, {"manifest": {"mode": "other"}, "performance_metrics": {}}, []]
)
def test_anything_else_is_refused(result: Any) -> None:
    with pytest.raises(InvalidData, match="no result of the sandbox"):
        sandbox_report(result)


def test_the_command_writes_the_page(
    results: dict[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, page = tmp_path / "result.json", tmp_path / "new" / "page.html"
    source.write_text(json.dumps(results["monte_carlo"]))
    with pytest.raises(SystemExit) as done:
        finagent(["report", str(source), "--out", str(page)])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"wrote {page}\n"
    assert page.read_text() == sandbox_report(results["monte_carlo"])
    source.write_text("no json")
    with pytest.raises(SystemExit) as done:
        finagent(["report", str(source)])
    assert done.value.code == 1
    assert "is no JSON" in capsys.readouterr().err
