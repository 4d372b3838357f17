"""Subjects of a schema registry: what a process may write, and whether every other release can read it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from schemas import Message
from schemas.avro import NAMESPACE, schema_of
from schemas.state import StateSaved
from streams.errors import ConfigError, IncompatibleSchema, RegistryError
from streams.registry import LEVEL, SchemaRegistry, Session
from streams.topics import topic

HOW = "`finagent schemas register` does it"
_TRIES = 3
"""Processes that start at once may set a level at the same moment, and a registry refuse one of them."""


@dataclass(frozen=True)
class Subject:
    """A message on a topic (TopicRecordNameStrategy)."""

    topic: str
    """The topic's name on the cluster, prefix included."""
    kind: type[Message]

    @property
    def name(self) -> str:
        """Return `<topic>-<full name of the record>`."""
        return f"{self.topic}-{NAMESPACE}.{self.kind.__name__}"

    @property
    def schema(self) -> Any:
        """Return what this release writes."""
        return schema_of(self.kind)


@dataclass(frozen=True)
class Standing:
    """What a registry says of a subject and the schema that this release writes."""

    subject: Subject
    schema_id: int | None
    """None: the subject does not have the schema."""
    level: str | None
    """The subject's compatibility level; None where neither it nor the registry has one."""
    refusal: str
    """Why the schema and the subject's versions cannot read each other; empty where they can."""


def subjects(topics: Iterable[str], changelogs: Iterable[str] = (), prefix: str = "") -> list[Subject]:
    """Return the subjects of topics and changelogs; copies under `bt.` carry what their topics carry."""
    carried = [Subject(prefix + name, kind) for name in topics for kind in topic(name).types]
    return [*carried, *(Subject(prefix + name, StateSaved) for name in changelogs)]


async def standings(registry: SchemaRegistry, wanted: Sequence[Subject]) -> list[Standing]:
    """Ask where subjects stand; change nothing."""
    async with registry.session() as session:
        await session.check()
        return await _standings(session, wanted, tighten=False)


async def enrol(registry: SchemaRegistry, wanted: Sequence[Subject], *, register: bool) -> dict[type[Message], int]:
    """Make sure that this release's schemas may be written; return their ids.

    register: set the level of subjects to FULL_TRANSITIVE and add missing schemas; without it that must have been done.
    Raises IncompatibleSchema or ConfigError that names the subjects, and RegistryError where no registry answers.
    """
    async with registry.session() as session:
        await session.check()
        found = await _standings(session, wanted, tighten=register)
        refuse(registry.url, {each.subject.name: each.refusal for each in found if each.refusal})
        if not register:
            _need_registered(found)
        ids = await asyncio.gather(*(_id(session, each) for each in found))
    return _by_kind([(each.subject, schema_id) for each, schema_id in zip(found, ids, strict=True)])


def refuse(url: str, refusals: dict[str, str]) -> None:
    """Raise IncompatibleSchema where there are refusals, by subject."""
    if refusals:
        told = "\n".join(f"  {name}: {reason}" for name, reason in sorted(refusals.items()))
        raise IncompatibleSchema(
            f"nothing is written: the schema registry at {url} has versions that cannot read, or be read by, what this "
            f"release writes\n{told}"
        )


async def _standings(session: Session, wanted: Sequence[Subject], *, tighten: bool) -> list[Standing]:
    return list(await asyncio.gather(*(_standing(session, each, tighten) for each in wanted)))


async def _standing(session: Session, subject: Subject, tighten: bool) -> Standing:
    """Ask where a subject stands; tighten: set its level first."""
    level = await (_tightened(session, subject.name) if tighten else session.level(subject.name))
    schema_id = await session.id_of(subject.name, subject.schema)
    return Standing(subject, schema_id, level, await session.refusal(subject.name, subject.schema))


async def _tightened(session: Session, name: str) -> str:
    for left in reversed(range(_TRIES)):
        if await session.level(name) == LEVEL:
            break
        try:
            await session.set_level(name, LEVEL)
            break
        except RegistryError:
            if not left:
                raise
    return LEVEL


def _need_registered(found: Sequence[Standing]) -> None:
    missing = [each.subject.name for each in found if each.schema_id is None]
    if missing:
        raise ConfigError(f"schemas of this release are not registered ({HOW}): {', '.join(missing)}")
    loose = [f"{each.subject.name} is {each.level}" for each in found if each.level != LEVEL]
    if loose:
        raise ConfigError(f"the compatibility of subjects must be {LEVEL} ({HOW}): {', '.join(loose)}")


async def _id(session: Session, standing: Standing) -> int:
    if standing.schema_id is not None:
        return standing.schema_id
    subject = standing.subject
    try:
        return await session.register(subject.name, subject.schema)
    except IncompatibleSchema as error:
        reason = await session.reasons(subject.name, subject.schema) or str(error)
        refuse(session.url, {subject.name: reason})
        raise


def _by_kind(found: Iterable[tuple[Subject, int]]) -> dict[type[Message], int]:
    ids: dict[type[Message], int] = {}
    for subject, schema_id in found:
        if ids.setdefault(subject.kind, schema_id) != schema_id:
            raise ConfigError(
                f"the schema registry gives one schema several ids, {subject.name} {schema_id} and elsewhere "
                f"{ids[subject.kind]}: expected one id for each schema"
            )
    return ids
