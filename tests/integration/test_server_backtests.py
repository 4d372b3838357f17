"""Backtests by the server: queued, run in processes of their own, kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.server.backtests import QUEUED
from orchestrator import FinAgentOrchestrator, SandboxEnvironment
from orchestrator.settings import Settings
from tests.server import JSON, asgi, settings_in, until

CONFIG: JSON = {
    "symbols": ["AAPL", "MSFT"],
    "start_date": "2012-01-03",
    "end_date": "2012-03-30",
    "initial_capital": 100_000,
    "strategy_type": "momentum",
    "lookback_period": 5,
}
ENDED = ("completed", "failed")


async def test_a_backtest_gives_the_result_of_the_sandbox_and_a_report(tmp_path: Path) -> None:
    async with asgi(settings_in(tmp_path)) as api:
        answer = await api.post("/backtest", json={"test_id": "first", **CONFIG})
        assert (answer.status_code, answer.headers["location"]) == (202, "/backtest/first")
        early = await api.get("/backtest/first/report")
        assert early.status_code == 404
        done = await until(api, "/backtest/first", lambda each: each["status"] in ENDED)
        assert (done["status"], done["error"], done["mode"]) == ("completed", None, "historical_backtest")
        expected = await SandboxEnvironment(FinAgentOrchestrator(settings=Settings())).run_backtest(CONFIG)
        assert done["result"]["performance_metrics"] == expected["performance_metrics"]
        assert done["result"]["manifest"]["data_sha256"] == expected["manifest"]["data_sha256"]
        report = await api.get(done["report"])
        assert report.headers["content-type"].startswith("text/html")
        assert "sandbox" in report.headers["content-security-policy"]
        assert "Equity" in report.text
        (listed,) = (await api.get("/backtest")).json()["items"]
        assert (listed["result"], listed["report"]) == (None, done["report"])
        again = await api.post("/backtest", json={"test_id": "first", **CONFIG})
        assert (again.status_code, again.json()["status"]) == (202, "completed")
        other = await api.post("/backtest", json={"test_id": "first", **CONFIG, "lookback_period": 6})
        assert other.status_code == 409
    async with asgi(settings_in(tmp_path)) as restarted:
        assert (await restarted.get("/backtest/first")).json() == done
        assert (await restarted.get(done["report"])).text == report.text


async def test_a_failed_backtest_says_why(tmp_path: Path) -> None:
    async with asgi(settings_in(tmp_path)) as api:
        await api.post("/backtest", json={"test_id": "none", **CONFIG, "symbols": ["NOPE"]})
        failed = await until(api, "/backtest/none", lambda each: each["status"] in ENDED)
        assert (failed["status"], failed["result"], failed["report"]) == ("failed", None, None)
        assert "NOPE" in failed["error"]
        assert "Traceback" not in failed["error"]
        assert "NOPE" in (await api.get("/backtest/none/report")).json()["detail"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"symbols": []}, "symbols"),
        ({"end_date": "2011-01-01"}, "is before start_date"),
        ({"lookback": 5}, "lookback_period"),
        ({"mode": "astrology"}, "mode"),
        ({"mode": "stress_test", "severity_levels": [7]}, "severity"),
        ({"test_id": "../../etc/passwd"}, "test_id"),
    ],
)
async def test_a_wrong_scenario_is_refused_at_once(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    async with asgi(settings_in(tmp_path)) as api:
        answer = await api.post("/backtest", json={**CONFIG, **changed})
        assert answer.status_code == 422, answer.text
        assert why in answer.json()["detail"]
        assert (await api.get("/backtest")).json()["items"] == []


async def test_more_than_may_wait_are_refused_and_the_others_go_on_after_a_restart(tmp_path: Path) -> None:
    async with asgi(settings_in(tmp_path)) as api:
        statuses = []
        for number in range(QUEUED + 5):
            answer = await api.post("/backtest", json={"test_id": f"t{number}", **CONFIG})
            statuses.append(answer.status_code)
        assert set(statuses) == {202, 429}
        assert statuses.count(429) >= 4
        assert int(answer.headers["retry-after"]) > 0
        running = await until(api, "/backtest/t0", lambda each: each["status"] != "queued")
        assert running["status"] == "running"
    for number in range(3, QUEUED + 5):
        if (path := tmp_path / "backtests" / f"t{number}" / "record.json").exists():
            path.unlink()
    (tmp_path / "backtests" / "t2" / "record.json").write_text("{broken")
    async with asgi(settings_in(tmp_path)) as restarted:
        ended = (await restarted.get("/backtest/t0")).json()
        assert (ended["status"], "the server ended" in ended["error"]) == ("failed", True)
        done = await until(restarted, "/backtest/t1", lambda each: each["status"] in ENDED)
        assert done["status"] == "completed"
        assert [each["test_id"] for each in (await restarted.get("/backtest")).json()["items"]] == ["t1", "t0"]


async def test_an_idempotency_key_names_the_backtest(tmp_path: Path) -> None:
    async with asgi(settings_in(tmp_path)) as api:
        key = {"Idempotency-Key": "k"}
        first = (await api.post("/backtest", json=CONFIG, headers=key)).json()["test_id"]
        assert (await api.post("/backtest", json=CONFIG, headers=key)).json()["test_id"] == first
        assert (await api.post("/backtest", json={**CONFIG, "lookback_period": 9}, headers=key)).status_code == 409
        assert json.loads((tmp_path / "backtests" / first / "record.json").read_text())["config"] == CONFIG
