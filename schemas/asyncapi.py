"""The AsyncAPI 3.0 document: channels, messages and who sends and receives them, from the schemas.

Topics and pools live above this package, so they are given as plain descriptions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.avro import fingerprint_of, released, schema_of
from schemas.message import Message

AVRO = "application/vnd.apache.avro;version=1.9.0"
"""What AsyncAPI calls an Avro schema; the ones here use nothing younger."""
KAFKA_BINDING = "0.5.0"
_HEADERS: tuple[tuple[str, str, str, bool], ...] = (
    ("ce_specversion", "string", "Version of CloudEvents: 1.0.", True),
    ("ce_id", "string", "Id of the message; it derives from what caused it: the same cause, the same id.", True),
    ("ce_type", "string", "finagent.<message>.", True),
    ("ce_source", "string", "/finagent/<pool or program that said it>.", True),
    ("ce_time", "string", "When it was recorded, RFC 3339 in UTC with nine decimals.", True),
    ("content-type", "string", "application/avro.", True),
    ("correlation_id", "string", "The whole chain: a run, a workflow or a slice.", True),
    ("causation_id", "string", "Id of the direct parent: a message, a market-data row or a slice.", True),
    ("slice", "string", "The slice in which it was said, ns UTC in decimals; absent outside the data plane.", False),
    ("traceparent", "string", "The span in which it was said (W3C Trace Context); absent where tracing is off.", False),
)


@dataclass(frozen=True)
class Channel:
    """A topic, or a pattern of topics."""

    name: str
    """Name in the document."""
    address: str
    """Topic, with {parameters}."""
    description: str
    types: tuple[type[Message], ...]
    """What it carries."""
    key: str = ""
    """What its records are keyed by; empty: as the record that a dead letter holds."""
    family: str = ""
    """Topics of one family have equal partition counts."""
    policy: Literal["", "compact"] = ""
    """What the topic is made with; empty: the broker's default."""
    retention_ms: int = 0
    """How long records are kept; 0: as the broker's default says."""
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Parameters of the address with the values that they may have; none: any."""
    more_headers: Sequence[tuple[str, str]] = ()
    """Further headers, with what they say."""


@dataclass(frozen=True)
class Operation:
    """What a pool or program does on a channel."""

    who: str
    action: Literal["send", "receive"]
    channel: str


def document(channels: Sequence[Channel], operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Return the document; equal inputs give an equal one, in the same order."""
    kinds = sorted({kind for channel in channels for kind in channel.types}, key=lambda kind: kind.__name__)
    keys = {kind: _key_of(kind, channels) for kind in kinds}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "FinAgent Orchestration",
            "version": version,
            "description": "Events and commands of the multi-agent system on Kafka. Values are Avro in single-object "
            "encoding: C3 01, the schema's CRC-64-AVRO fingerprint in little-endian order, then the body. Topic names "
            "have the prefix of the setting kafka.prefix before them.",
            "license": {"name": "OpenMDW 1.0"},
        },
        "defaultContentType": "application/avro",
        "servers": {
            "development": {
                "host": "localhost:9092",
                "protocol": "kafka",
                "description": "The broker that kafka.bootstrap names.",
            }
        },
        "channels": {channel.name: _channel(channel) for channel in channels},
        "operations": {f"{each.who}.{each.action}.{each.channel}": _operation(each) for each in operations},
        "components": {
            "messages": {
                **{kind.__name__: _message(kind, keys[kind]) for kind in kinds},
                **{name: _opaque(channel) for channel in channels if (name := _opaque_name(channel))},
            },
            "messageTraits": {
                "cloudEvent": {
                    "contentType": "application/avro",
                    "headers": _headers_schema(_HEADERS),
                }
            },
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    names = [kind.__name__ for kind in channel.types] or [_opaque_name(channel)]
    described: dict[str, Any] = {
        "address": channel.address,
        "description": channel.description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }
    if channel.parameters:
        described["parameters"] = {
            name: {"description": f"{name.capitalize()} of the address.", **({"enum": list(known)} if known else {})}
            for name, known in channel.parameters.items()
        }
    configuration: dict[str, Any] = {}
    if channel.policy:
        configuration["cleanup.policy"] = [channel.policy]
    if channel.retention_ms:
        configuration["retention.ms"] = channel.retention_ms
    kafka: dict[str, Any] = {"topicConfiguration": configuration} if configuration else {}
    if channel.family:
        kafka["x-partition-family"] = channel.family
    described["bindings"] = {"kafka": {**kafka, "bindingVersion": KAFKA_BINDING}}
    return described


def _operation(operation: Operation) -> dict[str, Any]:
    return {
        "action": operation.action,
        "channel": {"$ref": f"#/channels/{operation.channel}"},
        "summary": f"{operation.who} {operation.action}s {operation.channel}.",
        "tags": [{"name": operation.who}],
    }


def _message(kind: type[Message], key: str) -> dict[str, Any]:
    schema = schema_of(kind)
    versions = released().get(kind.__name__, {})
    doc = schema["doc"]
    return {
        "name": kind.__name__,
        "title": kind.__name__,
        "summary": doc.splitlines()[0] if doc else kind.__name__,
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "bindings": {"kafka": _key(key)},
        "payload": {"schemaFormat": AVRO, "schema": schema},
        "x-schema-version": max(versions, default=1),
        "x-avro-fingerprint": fingerprint_of(schema).to_bytes(8, "little").hex(),
    }


def _opaque_name(channel: Channel) -> str:
    """Name the message of a channel that carries whatever was refused or saved; empty where types say it."""
    return "" if channel.types else channel.name.title().replace("_", "")


def _opaque(channel: Channel) -> dict[str, Any]:
    return {
        "name": _opaque_name(channel),
        "title": _opaque_name(channel),
        "summary": channel.description,
        "headers": _headers_schema((name, "string", text, True) for name, text in channel.more_headers),
        "bindings": {"kafka": _key(channel.key or "as the record that it holds")},
        "payload": {"description": "The bytes as they were, which need not be Avro."},
    }


def _key_of(kind: type[Message], channels: Sequence[Channel]) -> str:
    carrying = [channel for channel in channels if kind in channel.types]
    homes = [channel for channel in carrying if not channel.parameters] or carrying
    if kind.__name__ == "SliceClosed":
        return "number of the partition that it closes the slice on"
    return " or ".join(dict.fromkeys(channel.key for channel in homes))


def _key(text: str) -> dict[str, Any]:
    return {"key": {"type": "string", "description": text}, "bindingVersion": KAFKA_BINDING}


def _headers_schema(headers: Iterable[tuple[str, str, str, bool]]) -> dict[str, Any]:
    known = list(headers)
    return {
        "type": "object",
        "required": [name for name, _, _, required in known if required],
        "properties": {name: {"type": kind, "description": text} for name, kind, text, _ in known},
    }
