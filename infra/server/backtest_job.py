"""One backtest in a process of its own: reads what to do from stdin, writes its result and report into its folder."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from orchestrator.facade import FinAgentOrchestrator
from orchestrator.sandbox import SandboxEnvironment, SandboxMode, TestScenario
from orchestrator.settings import Settings
from streams.errors import FinAgentError


def _main() -> None:
    task = json.load(sys.stdin)
    folder, job = Path(task["folder"]), task["job"]
    sandbox = SandboxEnvironment(FinAgentOrchestrator(settings=Settings.model_validate(task["settings"])))
    try:
        result = asyncio.run(_result(sandbox, job))
    except FinAgentError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    _write(folder / "result.json", json.dumps(result, allow_nan=False, default=str))
    try:
        _write(folder / "report.html", asyncio.run(_report(sandbox, job, result)))
    except Exception as error:
        # The result stands without its report.
        sys.stderr.write(f"there is no report: {type(error).__name__}: {error}\n")


async def _result(sandbox: SandboxEnvironment, job: dict[str, Any]) -> dict[str, Any]:
    scenario = TestScenario(job["test_id"], job["test_id"], SandboxMode(job["mode"]), job["config"])
    return await sandbox.run_test_scenario(scenario)


async def _report(sandbox: SandboxEnvironment, job: dict[str, Any], result: dict[str, Any]) -> str:
    # Here, because charts take long to import, and a scenario that fails needs none.
    from infra.report import report, sandbox_report

    if job["mode"] != SandboxMode.HISTORICAL_BACKTEST:
        return sandbox_report(result, job["test_id"])
    return report(job["test_id"], [await sandbox.study(job["config"])])


def _write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


if __name__ == "__main__":
    _main()
