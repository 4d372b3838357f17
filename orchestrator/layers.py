"""Layers of settings: files and environment variables as nested dicts, checked for unknown keys and merged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel

from orchestrator.credentials import FILE, PASSWORD, USERNAME, VARIABLES
from orchestrator.wording import redacted, unknown
from streams.errors import ConfigError

ENV_PREFIX = "FINAGENT_"
ENV_MODE = "FINAGENT_ENV"
ENV_LOG_LEVEL = "FINAGENT_LOG_LEVEL"
RESERVED = VARIABLES | {"FINAGENT_API_KEY", "FINAGENT_CACHE", "FINAGENT_KAFKA_BOOTSTRAP", "FINAGENT_REDIS_URL"}
"""Variables with this prefix that are read elsewhere."""
_SECRET = re.compile(r"(kafka|redis|schema_registry)\.\w*(user|password|secret)\w*", re.IGNORECASE)
_TOP_LEVEL = {ENV_MODE: "mode", ENV_LOG_LEVEL: "log_level"}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer laid over another; dicts are merged key by key, anything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = merged(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return result


def from_file(path: Path, model: type[BaseModel]) -> dict[str, Any]:
    """Return the layer of a YAML file; an empty section counts as absent. Raises ConfigError."""
    try:
        layer = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(redacted(f"{path}: no YAML: {error}")) from None
    found = checked(layer, model, str(path))
    _check_no_password(found, str(path))
    return found


def from_environment(environ: Mapping[str, str], model: type[BaseModel]) -> dict[str, Any]:
    """Return the layer of FINAGENT_* variables; raise ConfigError for one that is neither a setting nor reserved."""
    layer: dict[str, Any] = {}
    for name, value in sorted(environ.items()):
        if _is_setting(name, value):
            nested: Any = value
            for key in reversed(_path(name, model)):
                nested = {key: nested}
            layer = merged(layer, checked(nested, model, name))
    return layer


def checked(layer: Any, model: type[BaseModel], source: str, path: str = "") -> dict[str, Any]:
    """Return a layer without its empty sections; raise ConfigError for a key that no code reads."""
    _check_mapping(layer, source, path or "the settings")
    result: dict[str, Any] = {}
    for key, value in layer.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in model.model_fields:
            why = _not_here(where) or unknown("key", str(key), model.model_fields)
            raise ConfigError(f"{source}: {where}: {why}")
        result[key] = _checked_value(value, model.model_fields[key].annotation, source, where)
    return {key: value for key, value in result.items() if value is not None}


def _not_here(where: str) -> str:
    """Return where a user or password is to be given instead; empty for a key that is none."""
    if (found := _SECRET.fullmatch(where)) is None:
        return ""
    service, part = found[1].upper(), USERNAME if found[2].lower() == "user" else PASSWORD
    variable = part.format(service)
    names = f"{variable}{FILE} or {variable}" if part == PASSWORD else variable
    return f"users and passwords are no settings: set the environment variable {names} instead"


def _check_no_password(layer: Mapping[str, Any], source: str) -> None:
    for service, key in (("kafka", "bootstrap"), ("redis", "url"), ("schema_registry", "url")):
        value = layer.get(service, {}).get(key)
        if isinstance(value, str) and redacted(value) != value:
            raise ConfigError(
                f"{source}: {service}.{key}: a password does not belong in a file: set "
                f"{PASSWORD.format(service.upper())}{FILE} instead, or the whole in the environment"
            )


def _checked_value(value: Any, annotation: Any, source: str, where: str) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return None if value is None else checked(value, annotation, source, where)
    if get_origin(annotation) is dict and value is not None:
        return _checked_entries(value, get_args(annotation)[1], source, where)
    return value


def _checked_entries(value: Any, model: type[BaseModel], source: str, where: str) -> dict[str, Any]:
    _check_mapping(value, source, where)
    return {str(name): checked(entry or {}, model, source, f"{where}.{name}") for name, entry in value.items()}


def _check_mapping(value: Any, source: str, where: str) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(redacted(f"{source}: {where} must be a mapping, got {value!r}"))


def _is_setting(name: str, value: str) -> bool:
    # Compose files pass FINAGENT_ENV through as an empty string where the host has none.
    unset = name in _TOP_LEVEL and not value
    return name.startswith(ENV_PREFIX) and name not in RESERVED and not unset


def _path(name: str, model: type[BaseModel]) -> list[str]:
    if name in _TOP_LEVEL:
        return [_TOP_LEVEL[name]]
    keys = name.removeprefix(ENV_PREFIX).lower().split("__")
    if len(keys) > 1 and all(keys):
        return keys
    raise ConfigError(f"environment: {unknown('variable', name, {*_TOP_LEVEL, *_names(model)})}")


def _names(model: type[BaseModel], prefix: str = ENV_PREFIX) -> list[str]:
    names = []
    for key, field in model.model_fields.items():
        nested = field.annotation
        name = prefix + key.upper()
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            names += _names(nested, f"{name}__")
        elif prefix != ENV_PREFIX:
            names.append(name)
    return names
