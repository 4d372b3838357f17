"""Typed settings: defaults < file < overlay of the mode < environment < flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import BeforeValidator, Field, ValidationError

from agents.memory.limits import MemoryLimits
from agents.portfolio.financing import FinancingModel
from agents.transaction_cost.model import CostModel
from orchestrator.layers import checked, from_environment, from_file, merged
from orchestrator.sections import (
    BUILT_IN_POOLS,
    CostsSection,
    DataSection,
    KafkaSection,
    LogLevel,
    Mode,
    ObservabilitySection,
    OrchestratorSection,
    PoolSection,
    RedisSection,
    RiskSection,
    RlEngineSection,
    SandboxSection,
    SchemaRegistrySection,
    Section,
    ServerSection,
)
from orchestrator.wording import problems, redacted
from streams.errors import ConfigError

DEFAULT_FILE = Path("config") / "orchestrator_config.yaml"
"""Read where no file is named, if it is there; relative to the working folder."""


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _built_in() -> dict[str, PoolSection]:
    return {name: PoolSection() for name in BUILT_IN_POOLS}


class Settings(Section):
    """All settings; docs/configuration.md describes each key."""

    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = "INFO"
    """Least severe level that is logged."""
    mode: Mode = "development"
    """What the system runs for; production needs kafka.bootstrap."""
    orchestrator: OrchestratorSection = Field(default_factory=OrchestratorSection)
    server: ServerSection = Field(default_factory=ServerSection)
    kafka: KafkaSection = Field(default_factory=KafkaSection)
    redis: RedisSection = Field(default_factory=RedisSection)
    schema_registry: SchemaRegistrySection = Field(default_factory=SchemaRegistrySection)
    memory: MemoryLimits = Field(default_factory=MemoryLimits)
    agent_pools: dict[str, PoolSection] = Field(default_factory=_built_in)
    observability: ObservabilitySection = Field(default_factory=ObservabilitySection)
    rl_engine: RlEngineSection = Field(default_factory=RlEngineSection)
    data: DataSection = Field(default_factory=DataSection)
    sandbox: SandboxSection = Field(default_factory=SandboxSection)
    risk: RiskSection = Field(default_factory=RiskSection)
    costs: CostsSection = Field(default_factory=CostsSection)
    financing: FinancingModel = Field(default_factory=FinancingModel)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """Return the defaults overlaid by a nested dict; raise ConfigError for an unknown key or a wrong value."""
        layers = merged(cls().model_dump(), checked(config, cls, "config"))
        try:
            settings = cls.model_validate(layers)
        except ValidationError as error:
            # Without its cause: pydantic's own text would show a password.
            raise ConfigError(redacted(problems(error))) from None
        if settings.mode == "production" and not settings.kafka.bootstrap:
            raise ConfigError("mode production needs kafka.bootstrap: a broker in memory loses every order on exit")
        return settings

    def cost_model(self) -> CostModel:
        """Return the cost model that backtests and paper runs charge."""
        return CostModel(commission_rate=self.sandbox.commission_rate, **self.costs.model_dump())


def load(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of a file, the environment and flags.

    path: the YAML file; without it DEFAULT_FILE, where it exists. overrides: a nested dict. environ: os.environ, if
    not given. FINAGENT_ENV or an override of mode lays <mode>.yaml, where it stands beside the file, over the file.
    Raises ConfigError that names the source and the key.
    """
    flags = checked(overrides or {}, Settings, "flags")
    variables = from_environment(os.environ if environ is None else environ, Settings)
    file = path or DEFAULT_FILE
    layers = from_file(file, Settings) if path or file.exists() else {}
    asked = {"mode": mode} if (mode := flags.get("mode") or variables.get("mode")) else {}
    for layer in (_overlay(file, asked), variables, asked, flags):
        layers = merged(layers, layer)
    return Settings.from_dict(layers)


def _overlay(file: Path, asked: Mapping[str, str]) -> dict[str, Any]:
    if asked.get("mode") not in get_args(Mode):
        return {}
    overlay = file.with_name(f"{asked['mode']}.yaml")
    return from_file(overlay, Settings) if overlay.exists() else {}
