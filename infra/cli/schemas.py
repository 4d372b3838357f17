"""`finagent schemas`: the messages for other programs, as an AsyncAPI document or as Avro schema files."""

from __future__ import annotations

import json
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from infra.cli.output import say
from schemas import MESSAGES
from schemas.avro import schema_of
from streams.errors import ConfigError

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
