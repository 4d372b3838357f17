"""The demo as a user runs it, on the embedded default."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KEYS = {
    "broker",
    "data_source",
    "bars",
    "ticks",
    "workflow_steps",
    "signals",
    "risk_decisions",
    "orders",
    "fills",
    "final_equity",
    "performance_metrics",
    "wall_s",
}


def finagent(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=110, cwd=folder)


def demo(folder: Path, *arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(finagent(folder, "demo", "--json", *arguments).stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    return demo(folder)


def test_demo_tells_what_ran(result: dict[str, Any]) -> None:
    assert result.keys() >= KEYS
    assert result["data_source"] == {
        "bars": "sample:bokeh-sampledata (real)",
        "ticks": "synthetic:seed=7 (synthetic)",
    }
    assert result["risk_decisions"] == result["orders"] + result["denials"]
    assert result["denials"] > 0
    assert result["fills"] > 0
    produced = {"bars": result["bars"], "ticks": result["ticks"]}
    assert result["rows"]["produced"] == produced
    for task, handled in result["rows"]["handled"].items():
        assert {name: handled[name] for name in produced} == produced, task


def test_demo_twice_is_the_same(result: dict[str, Any], tmp_path: Path) -> None:
    again = demo(tmp_path)
    for key in ("final_equity", "final_equity_ticks", "decision_ids_sha256", "performance_metrics", "acts"):
        assert again[key] == result[key], key


def test_another_seed_is_another_act_two(result: dict[str, Any], tmp_path: Path) -> None:
    other = demo(tmp_path, "--seed", "8")
    assert other["final_equity"] == result["final_equity"]
    assert other["decision_ids_sha256"][0] == result["decision_ids_sha256"][0]
    assert other["decision_ids_sha256"][1] != result["decision_ids_sha256"][1]


def test_the_report_tells_the_chain_of_a_fill_and_a_denial_as_trace_does(result: dict[str, Any], folder: Path) -> None:
    report = (folder / ".finagent" / "demo" / "report.html").read_text()
    chains = json.loads(re.search(r'id="data">(.*?)</script>', report)[1])["chains"]  # type: ignore[index]
    names = list(chains["of"])
    assert len(names) == result["fills"] + result["denials"]
    denied = next(name for name in names if chains["of"][name][0][2] == "denial")
    for name in (names[0], denied, names[-1]):
        links = json.loads(finagent(folder, "trace", name, "--json").stdout)
        roles = [link["role"] for link in links]
        expected = ["denial"] if name == denied else ["fill", "matched on", "order"]
        assert roles[: len(expected) + 3] == [*expected, "proposal", "signal", "market data"], roles
        shown = [(role, depth, *chains["links"][at]) for at, depth, role in chains["of"][name]]
        told = [
            (e["role"], e["depth"], e["says"], e["message_id"], f"{e['topic']}[{e['partition']}]@{e['offset']}")
            for e in links
        ]
        assert [each[:5] for each in shown] == told


def test_the_report_and_the_result_have_the_same_figures(result: dict[str, Any], folder: Path) -> None:
    report = (folder / ".finagent" / "demo" / "report.html").read_text()
    shown = re.findall(r'data-figure="(\w+)" data-value="([^"]+)"', report)
    first = {name: float(value) for name, value in shown[:5]}
    assert first == {name: result["performance_metrics"][name] for name in first}
    assert first["final_value"] == result["final_equity"]
    assert report.count("ends at the same equity") == 2
