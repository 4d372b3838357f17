"""`finagent schemas`: the messages for other programs, in files and in a schema registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from infra.cli.exits import FAILED
from infra.cli.options import Config, Json, Prefix, settings_of
from infra.cli.output import as_json, say, table
from infra.sweep.worker import NAME as WORKER
from orchestrator.enrolment import registry_of
from orchestrator.faust_kept import TABLE
from orchestrator.settings import Settings
from orchestrator.wiring import all_kinds, context_of, pools_of
from rl.streaming import ACTOR, LEARNER
from schemas import MESSAGES
from schemas.avro import schema_of
from streams.errors import ConfigError
from streams.redrive import REDRIVE
from streams.registry import LEVEL, SchemaRegistry
from streams.slices import FEED
from streams.subjects import Standing, Subject, enrol, standings, subjects
from streams.topics import TOPICS, changelog

schemas = typer.Typer(help="The messages, for other programs.", no_args_is_help=True)


class Format(StrEnum):
    """What is written."""

    ASYNCAPI = "asyncapi"
    AVSC = "avsc"


@schemas.callback()
def _group() -> None:
    """The messages, for other programs."""


@schemas.command()
def export(
    form: Annotated[
        Format, typer.Option("--format", help="One document, or a file for each message.")
    ] = Format.ASYNCAPI,
    out: Annotated[
        Path | None, typer.Option("--out", help="File (asyncapi) or folder (avsc); default: stdout (asyncapi).")
    ] = None,
) -> None:
    """Write the AsyncAPI 3.0 document of all topics, or the current Avro schema of each message as NAME.avsc."""
    if form is Format.AVSC:
        _write_schemas(out)
    elif out is None:
        typer.echo(asyncapi_yaml(), nl=False)
    else:
        _write(out, asyncapi_yaml())
        say(f"{out}: AsyncAPI 3.0")


@schemas.command()
def check(config: Config = None, prefix: Prefix = None, json: Json = False) -> None:
    """Ask the schema registry whether this release may write; change nothing. Exit code 1 where it may not."""
    settings = settings_of(config, prefix=prefix)
    registry = _registry(settings)
    found = asyncio.run(standings(registry, _subjects(settings)))
    if json:
        as_json([_fields(each) for each in found])
    else:
        _show(registry, found)
    if any(each.refusal for each in found):
        raise typer.Exit(FAILED)


@schemas.command()
def register(config: Config = None, prefix: Prefix = None, json: Json = False) -> None:
    """Register what this release writes, on every topic, and set the subjects to FULL_TRANSITIVE; needs no Kafka."""
    settings = settings_of(config, prefix=prefix)
    registry, wanted = _registry(settings), _subjects(settings)
    ids = asyncio.run(enrol(registry, wanted, register=True))
    if json:
        as_json({each.name: ids[each.kind] for each in wanted})
    else:
        known = sorted(ids.values())
        say(f"{registry.url}: {len(wanted)} subjects at {LEVEL} have their schemas, ids {known[0]} to {known[-1]}")


def _registry(settings: Settings) -> SchemaRegistry:
    registry = registry_of(settings.schema_registry)
    if registry is None:
        raise ConfigError(
            "the settings name no schema registry: set schema_registry.url, or "
            "FINAGENT_SCHEMA_REGISTRY__URL=http://host:8081"
        )
    return registry


def _subjects(settings: Settings) -> list[Subject]:
    kinds = all_kinds(pools_of(settings), context_of(settings))
    programs = (FEED, TABLE, WORKER, ACTOR, LEARNER, REDRIVE)
    tasks = dict.fromkeys([*programs, *(kind.name for kind in kinds)])
    return subjects(TOPICS, map(changelog, tasks), settings.kafka.prefix)


def _show(registry: SchemaRegistry, found: Sequence[Standing]) -> None:
    rows = [(each.subject.name, _state(each), each.level or "-") for each in found]
    table(f"Subjects at {registry.url}", ("subject", "schema of this release", "compatibility"), rows)
    for each in found:
        if each.refusal:
            say(f"{each.subject.name}: {each.refusal}")


def _state(standing: Standing) -> str:
    if standing.refusal:
        return "refused"
    return "to be registered" if standing.schema_id is None else f"id {standing.schema_id}"


def _fields(standing: Standing) -> dict[str, Any]:
    return {
        "subject": standing.subject.name,
        "id": standing.schema_id,
        "compatibility": standing.level,
        "refusal": standing.refusal or None,
    }


def _write_schemas(folder: Path | None) -> None:
    if folder is None:
        raise ConfigError("--format avsc writes a file for each message: name their folder with --out")
    for name, model in sorted(MESSAGES.items()):
        _write(folder / f"{name}.avsc", json.dumps(schema_of(model), indent=2, ensure_ascii=False) + "\n")
    say(f"{folder}: {len(MESSAGES)} Avro schemas")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out {path}: {error.strerror}") from error


def asyncapi_yaml() -> str:
    """Return the AsyncAPI document as YAML; the same code gives the same bytes."""
    from infra.interface import interface

    document = interface(version("finagent-orchestration"))
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


class _Plain(yaml.SafeDumper):
    """Writes a value that stands in two places twice: anchors are for machines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
