"""Give a secure Kafka its users and their rights, over Kafka's own protocol."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest_v1
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from infra.security.acls import Acl
from streams.errors import BrokerError
from streams.kafka_calls import limited
from streams.kafka_denials import DENIED, denied
from streams.kafka_security import KafkaSecurity

TIMEOUT_S = 20.0
ITERATIONS = 4096
"""Rounds of hashing: Kafka's least, and enough for random passwords of 256 bits."""
_MECHANISMS = {1: "sha256", 2: "sha512"}
"""SCRAM's hashes by Kafka's numbers."""
_RESOURCES = {"Topic": 2, "Group": 3, "TransactionalId": 5}
_PATTERNS = {"LITERAL": 3, "PREFIXED": 4}
_OPERATIONS = {"READ": 3, "WRITE": 4, "CREATE": 5, "DESCRIBE": 8}
_ALLOW, _ANY_HOST = 3, "*"


class _AlteredUsers(Response):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUsersV0(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlteredUsers
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUsers(Request[_AlterUsersV0]):  # type: ignore[misc]
    """AlterUserScramCredentials, which aiokafka does not have."""

    API_KEY = 51

    def __init__(self, upsertions: Sequence[tuple[Any, ...]]) -> None:
        self._upsertions = upsertions

    def build(self, request_struct_class: type[_AlterUsersV0]) -> _AlterUsersV0:
        """Return what goes over the wire."""
        return request_struct_class([], self._upsertions, {})


class _CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    """CreateAcls for many at once; aiokafka's own takes one."""

    API_KEY = 30

    def __init__(self, creations: Sequence[tuple[Any, ...]]) -> None:
        self._creations = creations

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        """Return what goes over the wire."""
        return request_struct_class(self._creations)


async def set_passwords(bootstrap: str, security: KafkaSecurity, passwords: Mapping[str, str]) -> None:
    """Make the users, or give them these passwords, for both kinds of SCRAM; raise SecurityError where denied."""
    for number, algorithm in _MECHANISMS.items():  # Kafka takes a user once in a request
        upsertions = [_credential(user, password, number, algorithm) for user, password in passwords.items()]
        for user, code, why, _ in (await _answer(bootstrap, security, _AlterUsers(upsertions))).results:
            _check(code, why, f"user {user}")


async def grant(bootstrap: str, security: KafkaSecurity, acls: Sequence[Acl]) -> None:
    """Grant the rights; those that stand already stay. Raises SecurityError where the client may not grant."""
    creations = [
        (
            _RESOURCES[acl.resource],
            acl.name,
            _PATTERNS[acl.pattern],
            f"User:{acl.principal}",
            _ANY_HOST,
            _OPERATIONS[acl.operation],
            _ALLOW,
        )
        for acl in acls
    ]
    answer = await _answer(bootstrap, security, _CreateAcls(creations))
    for acl, (code, why) in zip(acls, answer.creation_responses, strict=True):
        _check(code, why, f"right of {acl.principal} on {acl.name}")


def _credential(user: str, password: str, number: int, algorithm: str) -> tuple[Any, ...]:
    salt = os.urandom(32)
    salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), salt, ITERATIONS)
    return (user, number, ITERATIONS, salt, salted, {})


async def _answer(bootstrap: str, security: KafkaSecurity, request: Any) -> Any:
    async with _client(bootstrap, security) as client:
        node = client.get_random_node()
        return await limited(client.send(node, request), TIMEOUT_S)


@asynccontextmanager
async def _client(bootstrap: str, security: KafkaSecurity) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(bootstrap_servers=bootstrap, **security.client_options())
    try:
        await limited(client.bootstrap(), TIMEOUT_S)
        yield client
    finally:
        await client.close()


def _check(code: int, why: str | None, what: str) -> None:
    error = kafka_errors.for_code(code)
    if error in DENIED:
        raise denied(error(), "ALTER")
    if error is not kafka_errors.NoError:
        raise BrokerError(f"the {what} was not made: {error.__name__} {why or ''}")
