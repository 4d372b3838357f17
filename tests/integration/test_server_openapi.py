"""The OpenAPI document: complete, and true of every request that schemathesis can think of."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.server.app import create_app
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from tests.server import served, settings_in

NOT_RUN = ("/shutdown", "/events")
"""One ends the server, the other never ends; tests of their own send them."""
UNTRUE = "positive_data_acceptance"
"""Expects that whatever fits the schema is accepted; an unknown pool or a period that ends before it begins is not."""


@pytest.fixture
def document() -> dict[str, Any]:
    return create_app(FinAgentOrchestrator(settings=Settings()), key="k").openapi()


async def schemathesis(url: str, folder: Path, phases: str, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--no-color", "--seed", "1"]
    limits = ["--max-examples", "3", "--phases", phases, "--no-shrink", "--request-timeout", "30"]
    excluded = [option for path in NOT_RUN for option in ("--exclude-path", path)]
    process = await asyncio.create_subprocess_exec(
        *command,
        *limits,
        *excluded,
        "--exclude-checks",
        UNTRUE,
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.timeout(300)
async def test_no_request_gets_an_answer_that_the_document_does_not_tell_of(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as client:
        code, said = await schemathesis(str(client.base_url).rstrip("/"), tmp_path, "examples,coverage,fuzzing")
        health = (await client.get("/health")).json()
    assert code == 0, said[-6000:]
    assert health["status"] == "healthy"


@pytest.mark.timeout(300)
async def test_with_a_key_it_is_needed_and_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINAGENT_API_KEY", "k3y")
    async with served(settings_in(tmp_path)) as client:
        url = str(client.base_url).rstrip("/")
        code, said = await schemathesis(url, tmp_path, "examples,fuzzing", "-H", "X-API-Key: k3y")
        assert code == 0, said[-6000:]
        # Without the key: no answer but 401 of anything, the document and health excepted.
        for path in ("/strategies", "/status", "/openapi.json"):
            assert (await client.get(path)).status_code == 401
        assert (await client.get("/health")).status_code == 200


def test_every_operation_says_what_it_does_takes_and_answers(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["description"].endswith("."), where
            assert operation["tags"], where
            successes = [status for status in operation["responses"] if status.startswith("2")]
            assert len(successes) == 1, where
            if method in ("post", "put", "delete"):
                assert {"403", "413", "415"} <= operation["responses"].keys(), where
            for status, answer in operation["responses"].items():
                if status[0] in "45" and (path, status) != ("/health", "503"):
                    assert "application/problem+json" in answer["content"], (where, status)
            if body := operation.get("requestBody"):
                name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                assert document["components"]["schemas"][name]["examples"], where
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_routes_of_the_contract_are_there(document: dict[str, Any]) -> None:
    found = {f"{method.upper()} {path}" for path, each in document["paths"].items() for method in each}
    assert found >= {
        "POST /strategies",
        "GET /strategies",
        "GET /strategies/{strategy_id}",
        "DELETE /strategies/{strategy_id}",
        "GET /strategies/{strategy_id}/equity",
        "GET /health",
        "GET /status",
        "POST /shutdown",
        "POST /backtest",
        "GET /backtest",
        "GET /backtest/{test_id}",
        "GET /backtest/{test_id}/report",
        "GET /templates",
        "POST /workflows",
        "GET /workflows",
        "GET /workflows/{workflow_id}",
        "DELETE /workflows/{workflow_id}",
        "GET /signals",
        "GET /orders",
        "GET /fills",
        "GET /denials",
        "GET /positions",
        "GET /risk",
        "POST /kill-switch",
        "GET /topics",
        "GET /dead-letters",
        "GET /policies",
        "GET /trace/{message_id}",
        "GET /memory",
        "GET /events",
        "GET /metrics",
    }
