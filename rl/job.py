"""A training job: which market, which rules, which reward, which algorithm, for how long; one YAML file or dict."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from agents.data.fetch import FetchParameters, IsoDate, fetch_first
from agents.data.reference import problems
from agents.data.sources import open_providers
from agents.parameters import nearest
from rl.config import RLConfiguration
from rl.market import Market
from rl.panel import Panel, sp500
from rl.rewards import RewardFunction, parse_reward
from rl.rules import TradingRules
from rl.splits import Split, split
from rl.streaming import Streaming
from schemas.message import canonical_json
from streams.errors import ConfigError, MissingData

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

SP500 = "sp500"
"""The data of 20 US shares in the package, closes only."""


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Part(BaseModel):
    """A frozen part of a job; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Data(Part):
    """What is traded, and which sessions count; features also look at the bars before."""

    symbols: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    """Bare symbols or SYMBOL.VENUE; none with sp500: all 20."""
    providers: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(default=("sample",), min_length=1)
    """Tried in this order: sample, paths of .csv or .parquet files; or sp500 alone."""
    start: IsoDate | None = None
    """First session, ISO date; none: the first that has features."""
    end: IsoDate | None = None
    """Last session, included; none: the last there is."""
    interval: str = "1d"
    """Length of the bars."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if SP500 in self.providers and (len(self.providers) > 1 or self.interval != "1d"):
            raise ValueError("sp500 is a provider of its own, with bars of 1d")
        if not self.symbols and SP500 not in self.providers:
            raise ValueError("symbols is empty, expected at least one")
        return self

    @property
    def sessions(self) -> tuple[str | None, str | None]:
        """Return the first and the last session, ISO dates."""
        first, last = (None if day is None else str(day) for day in (self.start, self.end))
        return first, last

    def panel(self) -> Panel:
        """Return the bars up to the end, those before the start among them.

        Raises UnknownSymbol, or MissingData where the sessions from start to end are not all there.
        """
        if SP500 in self.providers:
            return self._sp500()
        providers = open_providers(self.providers)
        asked = FetchParameters(symbols=self.symbols, start=self.start, end=self.end, interval=self.interval)
        fetched = fetch_first(providers, asked)
        used = next(provider for provider in providers if provider.name == fetched.provider)
        bars = [used.bars(each.symbol, self.interval, None, self.end) for each in fetched.instruments]
        blocks = [block for blocks in bars for block in blocks]
        return Panel.of(blocks, [instrument.instrument_id for instrument in fetched.instruments])

    def _sp500(self) -> Panel:
        panel = sp500()
        first, last = panel.session_dates[0], panel.session_dates[-1]
        if (self.start and self.start.isoformat() < first) or (self.end and self.end.isoformat() > last):
            asked = f"{self.start or first} to {self.end or last}"
            raise MissingData(f"{panel.source} has {first} to {last}, not all of {asked}")
        return panel.of_instruments(self.symbols) if self.symbols else panel


class Document(Part):
    """What a user writes as one YAML file or dict."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the job of a dict; raise ConfigError that names the key and what was expected."""
        _check_keys(document, cls, "")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigError(f"training: {problems(error)}") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the job of a YAML file; raise ConfigError that names the file."""
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
        if not isinstance(document, Mapping):
            raise ConfigError(f"{path}: expected a training, got {document!r}")
        try:
            return cls.of(document)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


class TrainingJob(Document):
    """A training, whole; the same job on the same data gives the same policy."""

    name: str = Field(default="", pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]{0,63})?$")
    """Names the training, its policy and its folder; empty: algorithm and hash do."""
    data: Data
    """What is traded."""
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Shares of the sessions, in the order of time: learned from, chosen on, judged on."""
    rules: TradingRules = TradingRules()
    """What the policy may do, and what its trades cost."""
    reward: str | dict[str, Any] = "log_return"
    """A reward's name, or {name: {weight: 1.0, ...}} for a sum of several."""
    reward_class: str = ""
    """Module and class of a reward that a program hands over instead; two that differ only in what they keep need a
    name each."""
    config: RLConfiguration = RLConfiguration.model_validate({})
    """The algorithm and its settings."""
    steps: int = Field(default=0, ge=0)
    """Environment steps to do; 0: as many as the episodes take."""
    episodes: int = Field(default=0, ge=0)
    """Episodes to do; 0: as many as the steps give."""
    evaluations: int = Field(default=20, ge=1)
    """How often the policy is looked at while it learns; the best on the validation part is kept."""
    actors: int = Field(default=0, ge=0)
    """Processes that collect, over Kafka; 0: one process does all."""
    streaming: Streaming = Streaming()
    """How actors and learner keep pace."""
    folder: str = ".finagent/training"
    """Where trainings keep what they make, each in a folder of its own."""
    checkpoint_every_s: float = Field(default=30.0, gt=0)
    """Time between checkpoints, s."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.steps and not self.episodes:
            raise ValueError("name the steps or the episodes to train for")
        parse_reward(self.reward)
        return self

    @cached_property
    def config_hash(self) -> str:
        """Return the SHA-256 of all that decides the outcome besides the data."""
        told = self.model_dump(mode="json", exclude={"name", "folder", "checkpoint_every_s"})
        told["config"] = self.config.model_dump(mode="json", exclude={"threads"})
        return hashlib.sha256(canonical_json(told).encode()).hexdigest()

    @property
    def training_id(self) -> str:
        """Return what names the training: equal jobs have one name."""
        return self.name or f"{self.config.algorithm.lower()}-{self.config_hash[:12]}"

    @property
    def path(self) -> Path:
        """Return the training's own folder."""
        return Path(self.folder) / self.training_id

    @cached_property
    def market(self) -> Market:
        """Return the sessions asked for, with their features; the bars are read once."""
        return self.whole_market.between(*self.data.sessions)

    @cached_property
    def whole_market(self) -> Market:
        """Return all sessions up to the end that have features."""
        return Market.of(self.data.panel())

    @cached_property
    def parts(self) -> Split:
        """Return the three parts of the market."""
        return split(self.market, self.split)

    def reward_function(self) -> RewardFunction:
        """Return the reward."""
        return parse_reward(self.reward)

    def environments(self, seed: int = 0, reward: RewardFunction | None = None) -> VectorEnv[Any, Any, Any]:
        """Return config.num_envs environments on the training part, begun with a seed; reward: one of your own."""
        from rl.vector_env import VectorTradingEnv

        envs = VectorTradingEnv(self.parts.train, self.rules, reward or self.reward_function(), self.config.num_envs)
        envs.reset(seed=seed)
        return envs


def _check_keys(document: Mapping[str, Any], model: type[BaseModel], where: str) -> None:
    """Raise ConfigError for a key that nobody reads, with the nearest one."""
    for key, value in document.items():
        if key not in model.model_fields:
            known = ", ".join(sorted(model.model_fields))
            raise ConfigError(
                f"unknown key {where}{key!r}, nearest is {nearest(str(key), model.model_fields)!r}; expected {known}"
            )
        inner = model.model_fields[key].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, Mapping):
            _check_keys(value, inner, f"{where}{key}.")
