"""`finagent sandbox`: what docs/sandbox.md shows is run, tables and JSON, and what is wrong is named."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.cli.app import run as finagent

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "sandbox.md").read_text()
MOMENTUM = str(ROOT / "examples" / "strategies" / "momentum.yaml")
QUARTER = ("--start", "2012-01-03", "--end", "2012-03-30")
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", DOCS, re.DOTALL) for line in block.splitlines() if line.strip()
]
SAYS = {
    "stress": ("momentum      0.75", "buy_and_hold  1 ", "synthetic from 2012-04-02 on"),
    "ab": ("p-value", "the data cannot tell A from B (p = "),
    "monte-carlo": ("probability of loss", "resampled with seed 7"),
    "live": ("through feed, broker and pools, 100 slices a second", "sharpe_ratio"),
}


def called(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        finagent(("sandbox", *arguments))
    said = capsys.readouterr()
    assert ended.value.code == code, said.err
    return said.out, said.err


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(called(capsys, *arguments, "--json")[0])
    return result


def test_every_mode_is_documented() -> None:
    assert {command.split()[2] for command in COMMANDS} == set(SAYS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_as_printed(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    out, _ = called(capsys, *words[2:])
    assert out.startswith("sample:bokeh-sampledata (real), ")
    for part in SAYS[words[2]]:
        assert part in out


def test_the_program_runs_as_printed(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()[:2]] == [["0.5", "momentum"], ["0.5", "buy_and_hold"]]
    assert "a year" in done.stdout.splitlines()[-1]


def test_a_strategy_with_a_pool_of_its_own_is_tried_in_any_number_of_processes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    given = ("examples.custom_pool:pool", "--set", "symbols=[AAPL, MSFT]", *QUARTER, "--paths", "3", "--seed", "2")
    one, two = (told(capsys, "monte-carlo", *given, "--workers", workers) for workers in "12")
    assert one == two
    assert one["monte_carlo"]["real"]["fills"] > 0
    assert (
        told(capsys, "live", *given[:3], *QUARTER)["live"]["final_value"] == one["monte_carlo"]["real"]["final_value"]
    )


def test_a_benchmark_and_severities_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("stress", "rate_shock", MOMENTUM, "--set", "symbols=[AAPL, MSFT]", *QUARTER, "--benchmark", "IBM")
    result = told(capsys, *given, "--severity", "1", "--severity", "0.2", "--shock-date", "2012-03-01")
    assert result["stress"]["market"]["benchmark"] == "IBM"
    assert [row["severity"] for row in result["stress"]["runs"]] == [0.2, 0.2, 1.0, 1.0]
    assert result["stress"]["shock"]["session"] == "2012-03-01"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("stress", "market_crsh", MOMENTUM), "unknown stress scenario 'market_crsh', nearest is 'market_crash'"),
        (("stress", "market_crash"), "name a strategy file after the scenario 'market_crash'"),
        (("stress", MOMENTUM, "--severity", "3"), "severity 3.0 is not in (0, 2]"),
        (("stress", MOMENTUM, "--source", "synthetic:1"), "made of bars; the source has a TickBlock"),
        (("ab", MOMENTUM, MOMENTUM, "--set-b", "symbols=[IBM]"), "must trade the same symbols"),
        (("monte-carlo", MOMENTUM, "--paths", "1"), "paths"),
        (("live", MOMENTUM, "--source", "synthetic:1"), "take sample or a file, got 'synthetic:1'"),
    ],
)
def test_what_is_wrong_is_named(arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert says in called(capsys, *arguments, code=1)[1]


def test_a_sandbox_that_is_off_refuses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINAGENT_ORCHESTRATOR__ENABLE_SANDBOX", "false")
    assert "enable_sandbox is false" in called(capsys, "ab", MOMENTUM, MOMENTUM, code=1)[1]
