"""YAML files that users write."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import yaml

from streams.errors import ConfigError


def read_document(path: Path) -> dict[str, Any]:
    """Return a YAML file's mapping, its dates as texts; raise ConfigError that names the file."""
    try:
        document = parsed(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: no YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a strategy or a workflow, got {document!r}")
    return document


def parsed(text: str, where: str) -> Any:
    """Return a YAML text's value, its dates as texts; raise ConfigError that names where it stands."""
    try:
        return _plain(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: no YAML: {' '.join(str(error).split())}") from error


def _plain(value: Any) -> Any:
    # YAML reads an unquoted 2012-01-03 as a date, which JSON has not.
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, dt.date) else value
