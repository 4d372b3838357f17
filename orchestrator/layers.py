"""Layers of settings: files and environment variables as nested dicts, checked for unknown keys and merged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel

from orchestrator.wording import redacted, unknown
from streams.errors import ConfigError

ENV_PREFIX = "FINAGENT_"
ENV_MODE = "FINAGENT_ENV"
ENV_LOG_LEVEL = "FINAGENT_LOG_LEVEL"
RESERVED = frozenset({"FINAGENT_API_KEY", "FINAGENT_CACHE", "FINAGENT_KAFKA_BOOTSTRAP", "FINAGENT_REDIS_URL"})
"""Variables with this prefix that are read elsewhere."""
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
    return checked(layer, model, str(path))


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
            raise ConfigError(f"{source}: {where}: {unknown('key', str(key), model.model_fields)}")
        result[key] = _checked_value(value, model.model_fields[key].annotation, source, where)
    return {key: value for key, value in result.items() if value is not None}


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
