"""Objects of a user's own, named module:attr."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from agents.pool import AgentPool
from orchestrator.wording import unknown
from streams.errors import ConfigError


def imported(name: str) -> Any:
    """Return what module:attr names, the working folder importable; raise ConfigError where there is no such thing."""
    module_name, _, attribute = name.partition(":")
    found = _names_of(name, module_name)
    if attribute not in found:
        public = [each for each in found if not each.startswith("_")]
        raise ConfigError(f"{module_name}: {unknown('name', attribute, public)}")
    return found[attribute]


def imported_pool(name: str) -> AgentPool:
    """Return the pool that module:attr names; raise ConfigError that lists the module's pools where it is none."""
    module_name, _, attribute = name.partition(":")
    found = _names_of(name, module_name)
    pools = {key: value for key, value in found.items() if isinstance(value, AgentPool)}
    if attribute not in pools:
        raise ConfigError(f"{module_name}: {unknown('pool', attribute, pools)}")
    return pools[attribute]


def _names_of(name: str, module_name: str) -> dict[str, Any]:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return vars(importlib.import_module(module_name))
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{name!r} cannot be imported from {os.getcwd()}: {error}") from error
