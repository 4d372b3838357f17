"""The AsyncAPI document: up to date, valid, and true of what really stands on the topics."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import jsonschema
import pytest
import yaml

from infra.cli.schemas import asyncapi_yaml
from infra.interface import CLIENT, SENDS, STEPS, operations
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from orchestrator.strategy import TradingStrategy
from schemas import MESSAGES
from streams.memory_broker import MemoryBroker
from streams.record import Received
from streams.tail import tail
from streams.topics import TOPICS, dead_letters
from tests.dataplane import sample
from tests.unit.infra.conftest import Run

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "asyncapi.yaml"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(asyncapi_yaml())
    return loaded


def test_the_committed_document_is_up_to_date() -> None:
    assert COMMITTED.read_text() == asyncapi_yaml(), "run `finagent schemas export --out docs/asyncapi.yaml`"


def test_it_is_valid_by_the_official_schema(document: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "tests/data/asyncapi-3.0.0.schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(document)] == []
    broken = {**document, "channels": {"ticks": {"adress": "ticks"}}}
    assert not validator.is_valid(broken), "the validator finds what is wrong"


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert len(found) > 30
    for reference in found:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_topic_and_message_is_there(document: dict[str, Any]) -> None:
    channels = document["channels"]
    for name, topic in TOPICS.items():
        assert channels[name]["address"] == name
        assert set(channels[name]["messages"]) == {kind.__name__ for kind in topic.types}
        kafka = channels[name]["bindings"]["kafka"]
        assert kafka["x-partition-family"] == topic.family
        compacted = kafka.get("topicConfiguration", {}).get("cleanup.policy") == ["compact"]
        assert compacted == topic.compacted
    assert set(MESSAGES) <= set(document["components"]["messages"])
    assert channels["dead_letters"]["address"] == "{topic}.dlq"
    assert channels["dead_letters"]["parameters"]["topic"]["enum"] == list(TOPICS)


def test_every_message_and_field_is_described(document: dict[str, Any]) -> None:
    for name, message in document["components"]["messages"].items():
        assert message["summary"], name
        assert message["bindings"]["kafka"]["key"]["description"], name
        for field in message["payload"].get("schema", {}).get("fields", []):
            assert field["doc"], f"{name}.{field['name']}"


async def log_of_a_run() -> tuple[list[Received], set[tuple[str, str]]]:
    """Trade a month on the embedded system; return its records, and which source wrote on which topic."""
    orchestrator = FinAgentOrchestrator(settings=Settings())
    await orchestrator.initialize()
    try:
        async with tail(orchestrator.broker, orchestrator.serde, ["fills"]) as followed:
            parameters = {"top": 1, "position_size": 1.0, "limits": {"max_order_notional": 60_000.0}}
            strategy = TradingStrategy("s", "S", symbols=["AAPL", "MSFT"], lookback_period=3, parameters=parameters)
            await orchestrator.start_strategy(strategy, initial_cash=50_000, history_end="2011-12-30", run_id="run")
            feed = await orchestrator.feed()
            instruments, slices = sample(("AAPL", "MSFT"), "2012-01-03", "2012-01-31")
            await feed.reference_data(instruments)
            await feed.publish(slices)
            await followed.slice_done(feed.state.last_slice, orchestrator.partitions)
        broker = orchestrator.broker
        assert isinstance(broker, MemoryBroker)
        records = [r for name in TOPICS for partition in broker._logs[name] for r in partition]
        return records, {(r.topic, dict(r.headers)["ce_source"].decode()) for r in records}
    finally:
        await orchestrator.shutdown()


async def test_it_is_true_of_a_log(document: dict[str, Any]) -> None:
    records, wrote = await log_of_a_run()
    spoken = {(name, _speaker(source.removeprefix("/finagent/"))) for name, source in wrote}
    told = {(name, who) for who, names in SENDS.items() for name in names}
    assert spoken <= told, "someone writes where the document does not say so"
    unseen = {("ticks", "feed"), ("backtests", "sweep"), ("backtest_results", "backtests")}
    unseen |= {("rl.transitions", "rl.actor"), ("rl.policies", "rl.learner"), ("rl.policies", "client")}
    unseen |= {("signals", "rl")}
    assert told - spoken <= unseen, "the document says that someone writes, and nobody did"
    kinds = {dict(r.headers)["ce_type"].decode().removeprefix("finagent."): r for r in records}
    assert len(kinds) > 15
    for name, record in kinds.items():
        message = document["components"]["messages"][name]
        assert record.value is not None
        assert record.value[:2] == b"\xc3\x01"
        assert record.value[2:10].hex() == message["x-avro-fingerprint"]
        schema = fastavro.parse_schema(message["payload"]["schema"], named_schemas={})
        body = io.BytesIO(record.value[10:])
        fastavro.schemaless_reader(body, schema, None)
        assert not body.read(), f"{name}: bytes are left over"
        headers = document["components"]["messageTraits"]["cloudEvent"]["headers"]
        found = {key: value.decode() for key, value in record.headers}
        assert set(headers["required"]) <= set(found) <= set(headers["properties"]), name
        assert name in document["channels"][record.topic]["messages"]


def _speaker(source: str) -> str:
    return STEPS if source.endswith(".steps") else source


def test_the_built_in_pools_receive_what_their_handlers_take() -> None:
    taken = {(each.who, each.channel) for each in operations() if each.action == "receive"}
    assert {("alpha", "bars"), ("portfolio", "signals"), ("risk", "targets"), ("execution", "orders")} <= taken
    assert ("execution", "signals") not in taken
    assert {("orchestrator", "commands"), ("orchestrator", "results"), (STEPS, "steps"), (CLIENT, "workflows")} <= taken


def test_export_writes_the_document(run: Run, tmp_path: Path) -> None:
    assert run("schemas", "export").out == asyncapi_yaml()
    written = run("schemas", "export", "--out", "new/folder/api.yaml")
    assert written.code == 0
    assert (tmp_path / "new/folder/api.yaml").read_text() == asyncapi_yaml()


def test_export_writes_a_schema_for_each_message(run: Run, tmp_path: Path) -> None:
    assert run("schemas", "export", "--format", "avsc", "--out", "avsc").code == 0
    files = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "avsc").glob("*.avsc")}
    assert set(files) == set(MESSAGES)
    assert files["Signal"]["name"] == "Signal"
    for schema in files.values():
        fastavro.parse_schema(schema, named_schemas={})


def test_export_says_what_is_wrong(run: Run, tmp_path: Path) -> None:
    missing = run("schemas", "export", "--format", "avsc")
    assert missing.code == 1
    assert "--out" in missing.err
    (tmp_path / "file").write_text("")
    blocked = run("schemas", "export", "--out", "file/api.yaml")
    assert blocked.code == 1
    assert "--out file/api.yaml" in blocked.err
    assert run("schemas", "export", "--format", "xml").code == 2


def test_dead_letters_are_named_as_the_pattern_says(document: dict[str, Any]) -> None:
    assert dead_letters("bars") == document["channels"]["dead_letters"]["address"].replace("{topic}", "bars")
