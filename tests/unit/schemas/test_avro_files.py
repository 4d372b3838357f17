"""The committed .avsc files: generated, documented, readable by fastavro, and compatible across all their versions."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas import MESSAGES
from schemas import avro as avro_module
from schemas.avro import FOLDER, fingerprint_of, incompatibilities, released, schema_of, write_new_versions
from tests.unit.schemas.example_messages import example, models

RELEASED = [
    pytest.param(name, version, id=f"{name}.v{version}")
    for name, versions in sorted(released().items())
    for version in versions
]


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_current_version_is_what_the_message_generates(name: str) -> None:
    versions = released()[name]
    assert versions[max(versions)] == schema_of(MESSAGES[name]), "run `python -m schemas.avro` and commit the files"


def test_every_message_has_files_and_every_file_a_message() -> None:
    assert released().keys() == MESSAGES.keys()
    for name, versions in released().items():
        assert sorted(versions) == list(range(1, len(versions) + 1)), name


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_all_versions_read_each_other(name: str) -> None:
    """FULL_TRANSITIVE: readers and writers may be upgraded in any order."""
    for reader in released()[name].values():
        for writer in released()[name].values():
            assert incompatibilities(reader, writer) == []


@pytest.mark.parametrize(("name", "version"), RELEASED)
@pytest.mark.parametrize("full", [True, False])
def test_fastavro_writes_and_reads_a_released_schema(name: str, version: int, full: bool) -> None:
    schema = json.loads((FOLDER / f"{name}.v{version}.avsc").read_text())
    known = {field["name"] for field in schema["fields"]}
    record = {key: value for key, value in example(MESSAGES[name], full=full).to_avro().items() if key in known}
    data = io.BytesIO()
    fastavro.schemaless_writer(data, schema, record)
    data.seek(0)
    assert fastavro.schemaless_reader(data, schema) == record
    data.seek(0)
    current = fastavro.schemaless_reader(data, schema, schema_of(MESSAGES[name]))
    assert MESSAGES[name].model_validate(current).to_avro().items() >= record.items()


def documented(schema: Any, path: str) -> list[tuple[str, str, Any]]:
    if isinstance(schema, list):
        return [found for branch in schema for found in documented(branch, path)]
    if not isinstance(schema, dict):
        return []
    if schema["type"] == "array":
        return documented(schema["items"], path)
    found = [(path, schema["doc"], schema["type"])] if "doc" in schema else []
    for field in schema.get("fields", ()):
        where = f"{path}.{field['name']}"
        found += [(where, field["doc"], field["type"]), *documented(field["type"], where)]
    return found


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_field_says_what_it_is_and_in_which_unit(name: str) -> None:
    for path, doc, _ in documented(schema_of(MESSAGES[name]), name):
        assert doc.strip().endswith("."), path
        field = path.rpartition(".")[2]
        if field in ("ts_event", "ts_open", "base_ts", "deadline", "started", "due"):
            assert "ns UTC" in doc or doc.startswith("When it happened"), path
        if field.endswith("_s"):
            assert "seconds" in doc, path
        if field.endswith("_ns"):
            assert " ns" in doc, path


def test_a_fingerprint_is_the_one_of_the_avro_specification() -> None:
    """Values from Avro's own share/test/data/schema-tests.txt."""
    assert fingerprint_of("null") == 0x63DD24E7CC258F8A
    assert fingerprint_of("int") == 0x7275D51A3F395C8F
    assert fingerprint_of("string") == 0x8F014872634503C7


def test_no_two_messages_share_a_fingerprint() -> None:
    prints = [fingerprint_of(schema) for versions in released().values() for schema in versions.values()]
    assert len(set(prints)) == len(prints)


def test_a_change_makes_a_next_version_and_a_change_of_docs_none(tmp_path: Path) -> None:
    first = write_new_versions(tmp_path)
    assert len(first) == len(MESSAGES)
    assert write_new_versions(tmp_path) == []
    path = tmp_path / "Signal.v1.avsc"
    path.write_text(path.read_text().replace("What to do.", "Changed."))
    assert write_new_versions(tmp_path) == ["Signal.v1.avsc"]
    schema = json.loads(path.read_text())
    path.write_text(json.dumps({**schema, "fields": schema["fields"][:-1]}))
    assert write_new_versions(tmp_path) == ["Signal.v2.avsc"]
    assert sorted(released(tmp_path)["Signal"]) == [1, 2]
    avro_module.released.cache_clear()


def test_every_message_is_generated_from_a_model_that_tests_know() -> None:
    assert {model.__name__ for model in models()} >= set(MESSAGES)
