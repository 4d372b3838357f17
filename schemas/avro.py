"""Avro schemas generated from the messages, and their compatibility.

The committed files in schemas/avsc are NAME.vN.avsc: every released version, the highest being current.
"""

from __future__ import annotations

import json
import types
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from schemas.catalog import MESSAGES
from schemas.message import AvroType, Message

NAMESPACE = "finagent"
FOLDER = Path(__file__).with_name("avsc")
_PRIMITIVES: dict[Any, str] = {str: "string", int: "long", float: "double", bool: "boolean", bytes: "bytes"}


def schema_of(model: type[Message]) -> Any:
    """Return the Avro record schema of a message, docs included."""
    return _record(model, set())


def _record(model: type[Message], defined: set[str]) -> Any:
    if model.__name__ in defined:
        return f"{NAMESPACE}.{model.__name__}"
    defined.add(model.__name__)
    fields = [_field(name, field, defined) for name, field in model.model_fields.items()]
    doc = (model.__doc__ or "").strip()
    return {"type": "record", "name": model.__name__, "namespace": NAMESPACE, "doc": doc, "fields": fields}


def _field(name: str, field: FieldInfo, defined: set[str]) -> dict[str, Any]:
    avro: dict[str, Any] = {"name": name, "type": _type(field, defined), "doc": field.description or ""}
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is not PydanticUndefined:
        avro["default"] = json.dumps(default) if isinstance(default, dict) else _plain(default)
    return avro


def _plain(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default


def _type(field: FieldInfo, defined: set[str]) -> Any:
    for mark in field.metadata:
        if isinstance(mark, AvroType):
            return mark.schema
    return _annotation(field.annotation, defined)


def _annotation(annotation: Any, defined: set[str]) -> Any:
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return _record(annotation, defined)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "string"
    if origin is tuple:
        return {"type": "array", "items": _annotation(args[0], defined)}
    if origin in (Union, types.UnionType):
        inner = [arg for arg in args if arg is not type(None)]
        return ["null", _annotation(inner[0], defined)]
    if args and hasattr(annotation, "__metadata__"):
        return _annotation(args[0], defined)
    raise TypeError(f"no Avro type for {annotation!r}")


def fingerprint_of(schema: Any) -> int:
    """Return the CRC-64-AVRO fingerprint of a schema's parsing canonical form (Avro specification 1.11)."""
    return int.from_bytes(bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")), "little")


@cache
def released(folder: Path = FOLDER) -> dict[str, dict[int, Any]]:
    """Return every committed schema: {message name: {version: schema}}."""
    versions: dict[str, dict[int, Any]] = {}
    for path in sorted(folder.glob("*.avsc")):
        name, version, _ = path.name.rsplit(".", 2)
        versions.setdefault(name, {})[int(version.removeprefix("v"))] = json.loads(path.read_text())
    return versions


def write_new_versions(folder: Path = FOLDER) -> list[str]:
    """Write a next version of each message whose generated schema differs from the committed one; return the files.

    A change of docs alone rewrites the current version in place: readers never see docs.
    """
    folder.mkdir(exist_ok=True)
    released.cache_clear()
    written = []
    for name, model in sorted(MESSAGES.items()):
        known, schema = released(folder).get(name, {}), schema_of(model)
        current = max(known, default=0)
        if current and known[current] == schema:
            continue
        if not current or not same_wire_form(known[current], schema):
            current += 1
        path = folder / f"{name}.v{current}.avsc"
        path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
        written.append(path.name)
    released.cache_clear()
    return written


def same_wire_form(one: Any, other: Any) -> bool:
    """Return whether two schemas write the same bytes and have the same defaults."""
    return bool(_without_docs(one) == _without_docs(other))


def _without_docs(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_docs(value) for key, value in schema.items() if key != "doc"}
    if isinstance(schema, list):
        return [_without_docs(item) for item in schema]
    return schema


def incompatibilities(reader: Any, writer: Any) -> list[str]:
    """Say why a reader cannot read a writer's data; empty where it can (Avro specification, schema resolution)."""
    return _resolve(reader, writer, "", {}, {})


def conflicts(one: Any, other: Any) -> list[str]:
    """Say why two schemas cannot read each other's data; empty where both can."""
    return [*incompatibilities(one, other), *incompatibilities(other, one)]


def _resolve(reader: Any, writer: Any, path: str, readers: dict[str, Any], writers: dict[str, Any]) -> list[str]:
    reader, writer = _named(reader, readers), _named(writer, writers)
    if isinstance(writer, list):
        return [p for branch in writer for p in _resolve(reader, branch, path, readers, writers)]
    if isinstance(reader, list):
        tries = [_resolve(branch, writer, path, readers, writers) for branch in reader]
        return [] if any(not problems for problems in tries) else [f"{path}: {writer} matches no branch of {reader}"]
    kind, written = _kind(reader), _kind(writer)
    if kind == "record" and written == "record":
        return _resolve_records(reader, writer, path, readers, writers)
    if kind == "array" and written == "array":
        return _resolve(reader["items"], writer["items"], f"{path}[]", readers, writers)
    if kind == written or (written, kind) in _PROMOTIONS:
        return []
    return [f"{path}: {written} cannot be read as {kind}"]


_PROMOTIONS = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
}


def _resolve_records(
    reader: Any, writer: Any, path: str, readers: dict[str, Any], writers: dict[str, Any]
) -> list[str]:
    if reader["name"] != writer["name"]:
        return [f"{path}: record {writer['name']} cannot be read as {reader['name']}"]
    written = {field["name"]: field for field in writer["fields"]}
    problems = []
    for field in reader["fields"]:
        where = f"{path}.{field['name']}"
        if field["name"] in written:
            problems += _resolve(field["type"], written[field["name"]]["type"], where, readers, writers)
        elif "default" not in field:
            problems.append(f"{where}: missing in the writer and without a default")
    return problems


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _named(schema: Any, known: dict[str, Any]) -> Any:
    if isinstance(schema, dict) and "name" in schema:
        known[f"{schema.get('namespace', NAMESPACE)}.{schema['name']}"] = schema
    return known.get(schema, schema) if isinstance(schema, str) else schema


def parsed(schema: Any) -> Any:
    """Return a schema in the form that fastavro reads and writes fastest."""
    return parse_schema(schema, named_schemas={})


if __name__ == "__main__":
    for file in write_new_versions():
        print(file)
