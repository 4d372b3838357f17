"""A schema registry with Confluent's HTTP API, as Apicurio, Karapace and Redpanda have it too."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from schemas.avro import conflicts
from streams.errors import ConfigError, IncompatibleSchema, RegistryError, SecurityError
from streams.serde import id_of
from streams.tls import tls_context

if TYPE_CHECKING:  # half of the time that the command line takes to start, and most systems have no registry
    import httpx

LEVEL = "FULL_TRANSITIVE"
"""Compatibility of every subject: each version reads and is read by each other, so releases mix in any order."""
_MEDIA = "application/vnd.schemaregistry.v1+json"
_AT_ONCE = 8
"""Requests in flight."""
_FOLLOWER_LAG_S = 1.0
"""A node of a registry may hear later than this process of an id that another node gave out."""
_ABSENT_S = 60.0
"""How long an id that the registry did not have is not asked for again."""
_ABSENT_KEPT = 10_000


@dataclass
class SchemaRegistry:
    """Asks and tells a registry over HTTP; RegistryError says that it does not answer, or fails."""

    url: str
    """Base of the API, without user or password."""
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    """PEM certificates of the authorities that vouch for it; empty: those of the system."""
    timeout_s: float = 10.0
    """Limit of every request."""
    _absent: dict[int, float] = field(default_factory=dict, repr=False)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return tls_context(self.ca_file, "schema_registry.ssl_ca_file")

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Keep connections for a number of requests."""
        import httpx

        auth = httpx.BasicAuth(self.username, self.password) if self.username else None
        limits = httpx.Limits(max_connections=_AT_ONCE)
        headers = {"accept": f"{_MEDIA}, application/json", "content-type": _MEDIA}
        async with httpx.AsyncClient(
            base_url=self.url.rstrip("/"),
            auth=auth,
            limits=limits,
            headers=headers,
            timeout=httpx.Timeout(self.timeout_s, pool=None),
            verify=self._tls,
        ) as client:
            yield Session(self.url, client)

    async def find(self, frames: Collection[bytes]) -> Mapping[bytes, Any]:
        """Return the schemas of those Confluent frames whose ids the registry has."""
        wanted = {schema_id: frame for frame in frames if (schema_id := id_of(frame)) is not None}
        now = time.monotonic()
        asked = {schema_id for schema_id in wanted if now - self._absent.get(schema_id, -_ABSENT_S) >= _ABSENT_S}
        if not asked:
            return {}
        async with self.session() as session:
            found = await session.schemas(asked)
            if absent := asked - found.keys():
                await asyncio.sleep(_FOLLOWER_LAG_S)
                found |= await session.schemas(absent)
        if len(self._absent) > _ABSENT_KEPT:
            self._absent.clear()
        self._absent |= dict.fromkeys(asked - found.keys(), time.monotonic())
        return {wanted[schema_id]: schema for schema_id, schema in found.items()}


@dataclass(frozen=True)
class Session:
    """An open client of a registry."""

    url: str
    client: httpx.AsyncClient
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE), repr=False)
    """A flood of unknown ids waits here: the client's own queue takes longer the longer it is."""

    async def check(self) -> None:
        """Raise RegistryError where no registry works at the URL."""
        await self._ask("GET", "/schemas/types")

    async def schemas(self, ids: Collection[int]) -> dict[int, Any]:
        """Return the Avro schemas of those ids that are known; of another format its name."""
        answers = await asyncio.gather(*(self._ask("GET", f"/schemas/ids/{each}") for each in ids))
        return {each: _schema(answer) for each, answer in zip(ids, answers, strict=True) if answer is not None}

    async def id_of(self, subject: str, schema: Any) -> int | None:
        """Return the id of a schema that the subject has."""
        found = await self._ask("POST", f"/subjects/{quote(subject)}", _body(schema))
        return None if found is None else int(found["id"])

    async def register(self, subject: str, schema: Any) -> int:
        """Add a schema to a subject where it is missing; return its id. Raises IncompatibleSchema."""
        answer = await self._ask(
            "POST", f"/subjects/{quote(subject)}/versions", _body(schema), conflict=IncompatibleSchema
        )
        if answer is None:
            raise RegistryError(f"the schema registry at {self.url} has no place for {subject}")
        return int(answer["id"])

    async def level(self, subject: str) -> str | None:
        """Return a subject's compatibility level, its own or the registry's; None where neither is known."""
        params = {"defaultToGlobal": "true"}
        found = await self._ask("GET", f"/config/{quote(subject)}", params=params)
        if found is None:  # a registry that has no such subject yet
            return None
        return str(found.get("compatibilityLevel") or found.get("compatibility"))

    async def set_level(self, subject: str, level: str) -> None:
        """Set a subject's compatibility level."""
        await self._ask("PUT", f"/config/{quote(subject)}", {"compatibility": level})

    async def refusal(self, subject: str, schema: Any) -> str:
        """Say why the subject's latest version and the schema cannot read each other; empty where they can."""
        path = f"/compatibility/subjects/{quote(subject)}/versions/latest"
        answer = await self._ask("POST", path, _body(schema), params={"verbose": "true"})
        if answer is None or answer["is_compatible"]:
            return ""
        return await self.reasons(subject, schema) or "; ".join(
            answer.get("messages") or ["the registry names no reason"]
        )

    async def reasons(self, subject: str, schema: Any) -> str:
        """Say, by version, what keeps the subject's versions and a schema from reading each other."""
        versions = await self._ask("GET", f"/subjects/{quote(subject)}/versions") or []
        paths = [f"/subjects/{quote(subject)}/versions/{version}" for version in versions]
        found = await asyncio.gather(*(self._ask("GET", path) for path in paths))
        told = {
            version: conflicts(schema, _schema(answer))
            for version, answer in zip(versions, found, strict=True)
            if answer is not None
        }
        return "; ".join(f"version {version}: {', '.join(why)}" for version, why in told.items() if why)

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        conflict: type[Exception] = RegistryError,
    ) -> Any:
        """Return the answer; None where the registry says that it has no such thing."""
        import httpx

        try:
            async with self._free:
                response = await self.client.request(method, path, json=body, params=params)
        except httpx.InvalidURL as error:
            raise ConfigError(f"schema_registry.url {self.url!r}: {error}") from None
        except httpx.HTTPError as error:
            raise RegistryError(
                f"the schema registry at {self.url} does not answer: {str(error) or type(error).__name__}"
            ) from None
        said = _said(response)
        # Of a proxy, or of another server, such an answer says nothing about the thing.
        if response.status_code == 404 and isinstance(said, dict) and "error_code" in said:
            return None
        if response.is_success and said is not None:
            return said
        raise self._failure(response, conflict)

    def _failure(self, response: httpx.Response, conflict: type[Exception]) -> Exception:
        said = f"{response.request.method} {response.request.url.path}: {response.status_code} {_message(response)}"
        match response.status_code:
            case 401 | 403:
                return SecurityError(
                    f"the schema registry at {self.url} refuses access, {said}: set FINAGENT_SCHEMA_REGISTRY_USERNAME "
                    "and FINAGENT_SCHEMA_REGISTRY_PASSWORD_FILE, or give the user these rights"
                )
            case 409:
                return conflict(f"the schema registry at {self.url} says no to {said}")
            case 400 | 422:
                return ConfigError(f"the schema registry at {self.url} says no to {said}")
        return RegistryError(f"no schema registry works at {self.url}: {said}")


def _body(schema: Any) -> dict[str, str]:
    # Apicurio takes the default "{}" of a string for an empty object: the same JSON, spelt so that it does not.
    text = json.dumps(schema, ensure_ascii=False).replace('"{}"', '"\\u007b}"')
    return {"schema": text, "schemaType": "AVRO"}


def _schema(answer: Mapping[str, Any]) -> Any:
    other = answer.get("schemaType", "AVRO")
    return json.loads(answer["schema"]) if other == "AVRO" else f"a schema in {other}"


def _said(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _message(response: httpx.Response) -> str:
    said = _said(response)
    return str(said.get("message", ""))[:500] if isinstance(said, dict) else response.text[:80]
