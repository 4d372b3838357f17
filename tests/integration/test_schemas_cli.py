"""`finagent schemas check` and `register` against a real registry, as a user runs them before a deployment."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas import Signal, SliceClosed
from schemas.avro import schema_of
from streams.registry import SchemaRegistry
from streams.subjects import Subject

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


def finagent(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line outside any folder with settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FINAGENT_")}
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        env={**environment, "PYTHONPATH": root, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_release_is_checked_registered_and_checked_again(schema_registry: str, prefix: str) -> None:
    variables = {"FINAGENT_SCHEMA_REGISTRY__URL": schema_registry}
    before = finagent("schemas", "check", "--prefix", prefix, "--json", **variables)
    assert before.returncode == 0, before.stderr
    assert all(each["id"] is None and each["refusal"] is None for each in json.loads(before.stdout))
    registered = finagent("schemas", "register", "--prefix", prefix, "--json", **variables)
    assert registered.returncode == 0, registered.stderr
    ids = json.loads(registered.stdout)
    assert f"{prefix}ticks-finagent.TickBlock" in ids
    for task in ("orchestrator.workflows", "backtests", "rl.actor", "rl.learner", "redrive"):
        assert f"{prefix}{task}.changelog-finagent.StateSaved" in ids
    after = json.loads(finagent("schemas", "check", "--prefix", prefix, "--json", **variables).stdout)
    assert {each["subject"]: each["id"] for each in after} == ids
    assert {each["compatibility"] for each in after} == {"FULL_TRANSITIVE"}
    told = finagent("schemas", "check", "--prefix", prefix, **variables).stdout
    assert f"{prefix}ticks-finagent.TickBlock" in told.replace("\n", "")


def test_a_refused_release_is_told_by_subject_and_reason(schema_registry: str, prefix: str) -> None:
    subject, schema = Subject(f"{prefix}bars", SliceClosed), schema_of(SliceClosed)
    other: dict[str, Any] = {**schema, "fields": [*schema["fields"], {"name": "needed", "type": "string"}]}

    async def add() -> None:
        async with SchemaRegistry(schema_registry).session() as session:
            await session.register(subject.name, other)

    asyncio.run(add())
    variables = {"FINAGENT_SCHEMA_REGISTRY__URL": schema_registry}
    finagent("schemas", "register", "--prefix", prefix, **variables)
    for command in ("check", "register"):
        done = finagent("schemas", command, "--prefix", prefix, **variables)
        assert done.returncode == 1
        assert "finagent.SliceClosed: version 1: .needed: missing in the writer and without a default" in (
            done.stdout + done.stderr
        )


def test_without_a_registry_it_says_how_to_name_one() -> None:
    done = finagent("schemas", "check")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the settings name no schema registry: set schema_registry.url")


def test_a_registry_that_is_away_is_a_clear_error() -> None:
    done = finagent("schemas", "register", FINAGENT_SCHEMA_REGISTRY__URL="http://127.0.0.1:1")
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: the schema registry at http://127.0.0.1:1 does not answer: All connection attempts failed\n"
    )


def test_a_process_whose_schema_is_refused_does_not_start(
    kafka_bootstrap: str, schema_registry: str, prefix: str, tmp_path: Path
) -> None:
    subject, schema = Subject(f"{prefix}signals", Signal), schema_of(Signal)
    fields = [{**each, "type": "long"} if each["name"] == "score" else each for each in schema["fields"]]

    async def add() -> None:
        async with SchemaRegistry(schema_registry).session() as session:
            await session.register(subject.name, {**schema, "fields": fields})

    asyncio.run(add())
    given = ("--kafka", kafka_bootstrap, "--prefix", prefix)
    done = finagent("pool", "alpha", *given, FINAGENT_SCHEMA_REGISTRY__URL=schema_registry)
    assert done.returncode == 1
    assert "error: nothing is written: the schema registry at " in done.stderr
    assert f"{prefix}signals-finagent.Signal: version 1: .score: double cannot be read as long" in done.stderr
