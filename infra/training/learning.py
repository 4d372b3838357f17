"""A training over Kafka: actors as child processes, the learner in this one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.cli.connection import PATIENCE_S, connected, make_topics, memory, speaking
from infra.cli.up import environment_of, logins_of
from infra.processes import Processes, processes
from orchestrator.settings import Settings
from orchestrator.wiring import partitions_of
from rl import checkpoint
from rl.collector import layout_of
from rl.learner import Learner
from rl.learner_state import Plan
from rl.notes import Notes
from rl.policy import Policy
from rl.rows import Float32
from rl.streaming import LEARNER, create_topics
from rl.training import Progress
from streams.clock import WallClock
from streams.errors import InvalidData, ServiceError
from streams.retrying import set_within
from streams.topics import POLICIES

log = logging.getLogger("finagent.cli")
CHECK_S = 0.5
Look = tuple[Policy, int, int, Mapping[str, float]]
"""A policy, the steps and episodes before it, and what updates told until then."""
Values = Callable[[Float32], Float32]
RESTARTS = 5
"""Times that one actor is started again before the training gives up."""


@dataclass
class Actors:
    """The actors' processes; one that dies is started again."""

    children: Processes
    command: Sequence[str]
    """Of an actor, less its name."""
    count: int

    async def run(self, stop: asyncio.Event) -> None:
        """Keep them running until stop is set; raise ServiceError where one dies again and again."""
        names = [f"actor-{number}" for number in range(self.count)]
        starts = dict.fromkeys(names, 0)
        for name in names:
            self._start(name, starts)
        while not await set_within(stop, CHECK_S):
            for name in names:
                if self.children.running[name].poll() is None:
                    continue
                if starts[name] > RESTARTS:
                    self.children.check()
                    raise ServiceError(f"{name} has ended {starts[name]} times; see {self.children.log(name)}")
                log.warning("%s has ended; it is started again", name)
                self._start(name, starts)

    def _start(self, name: str, starts: dict[str, int]) -> None:
        starts[name] += 1
        self.children.start(name, [*self.command, "--actor-id", name])


@dataclass
class Watched:
    """Takes in what the learner tells, and has its policy looked at in a thread."""

    notes: Notes
    show: Callable[[], None]
    policy: Callable[[], Policy] | None = None

    def __post_init__(self) -> None:
        self._began, self._before = time.monotonic(), self.notes.seconds
        self._looks: asyncio.Queue[Look | None] = asyncio.Queue()
        self._looking = False

    def __call__(self, progress: Progress) -> None:
        """Take in a round; where a look is due, the policy is copied now, while nobody changes it."""
        notes = self.notes
        notes.examination.hear(progress.figures)
        notes.hear(progress)
        notes.seconds = self._before + time.monotonic() - self._began
        if self.policy is not None and not self._looking and notes.examination.due(notes.share):
            self._looking = True
            self._looks.put_nowait(self._due(self.policy()))
        self.show()

    async def look(self) -> None:
        """Look at policies as they come, until end() was called and what was due by then has been seen."""
        while (due := await self._looks.get()) is not None:
            await self._take(due)

    def end(self) -> None:
        """Let look() return; cancelling it would leave its thread at work on the notes."""
        self._looks.put_nowait(None)

    async def look_at(self, policy: Policy, values: Values | None = None) -> None:
        """Look at the policy as it is now, and note what was seen; values: the critic's, for its bias."""
        await self._take(self._due(policy), values)

    def _due(self, policy: Policy) -> Look:
        last = self.notes.last
        return policy, last.steps, last.episodes, self.notes.examination.told()

    async def _take(self, look: Look, values: Values | None = None) -> None:
        await asyncio.to_thread(self.notes.examination.look, *look, values)
        self.notes.save()
        self._looking = False


async def learn(
    notes: Notes,
    command: Sequence[str],
    settings: Settings,
    *,
    resume: bool,
    show: Callable[[], None],
    stop: asyncio.Event,
) -> bool:
    """Train a job whose actors are processes of their own, each begun by the command and its name.

    Returns whether it came to its end. Raises ServiceError where an actor dies again and again, ConfigError where the
    folder is in use or the log knows the training and it is not to be resumed, InvalidData where the folder holds
    another job's training, and Diverged, with the warning, where the numbers are lost.
    """
    job, clock = notes.job, WallClock()
    environment = environment_of(settings) | logins_of(settings, "actor")
    with notes.at_work():
        async with connected(settings, stop, PATIENCE_S) as plain, memory(settings) as store:
            await make_topics(settings, plain, stop=stop, patience_s=PATIENCE_S)
            await create_topics(plain, partitions_of(settings)["training"])
            broker, serde = await speaking(settings, plain, [POLICIES.name], [LEARNER], stop, PATIENCE_S)
            watched = Watched(notes, show)
            learner = Learner(
                broker, _plan(notes), notes.checkpoints, clock, serde, resume=resume, on_progress=watched, store=store
            )
            if resume and notes.begun:
                notes.resume(*_standing(notes))
            elif resume:
                log.warning("training %s has no checkpoint yet: it goes on from what the log has", job.training_id)
            if not notes.examination.points:
                await watched.look_at(learner.policy())
            watched.policy = learner.policy
            with processes(job.path / "logs", environment) as children:
                actors = Actors(children, command, job.actors)
                await _together(learner, actors, watched, stop)
            if notes.examination.points[-1].steps < notes.last.steps:
                await watched.look_at(learner.policy(), learner.state.algorithm.values)
            notes.save()
    return notes.share >= 1


async def _together(learner: Learner, actors: Actors, watched: Watched, stop: asyncio.Event) -> None:
    """Run the learner to its end, with its actors beside it; either one's failure ends the other."""
    learning = asyncio.create_task(learner.run(stop))
    acting, looking = asyncio.create_task(actors.run(stop)), asyncio.create_task(watched.look())
    try:
        await asyncio.wait([learning, acting, looking], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        watched.end()
        ended = await asyncio.gather(learning, acting, looking, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


def _plan(notes: Notes) -> Plan:
    job = notes.job
    envs = job.environments(job.config.seed, notes.reward)
    space: Any = envs.single_action_space
    return Plan(
        training_id=job.training_id,
        config=job.config,
        layout=layout_of(envs),
        low=space.low,
        high=space.high,
        actors=job.actors,
        steps=job.steps,
        episodes=job.episodes,
        streaming=job.streaming,
    )


def _standing(notes: Notes) -> tuple[int, int, int]:
    """Return steps, episodes and updates of the checkpoint."""
    _, told = checkpoint.load(notes.checkpoints)
    try:
        return int(told["transitions"]), int(told["episodes"]), int(told["updates"])
    except KeyError as error:
        where = f"the checkpoint in {notes.checkpoints}"
        raise InvalidData(f"{where} is of a training in one process: it has no {error}") from error
