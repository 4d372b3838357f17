"""`finagent train`: a policy from a YAML file, with progress, checkpoints and a learning curve."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import INTERRUPTED
from infra.cli.options import Config, Json, Kafka, Prefix, Redis, need_kafka, need_rl, settings_of
from infra.cli.output import as_json, say, table
from infra.cli.stopping import until_stopped
from streams.errors import ConfigError

if TYPE_CHECKING:
    from rl.job import TrainingJob
    from rl.notes import Notes

FIGURES = ("total_return", "sharpe_ratio", "max_drawdown", "win_rate")


def train(
    file: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The training: data, rules, reward, algorithm.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Train a policy on market data and judge it on sessions that it has not seen; Ctrl-C leaves a checkpoint.

    With actors in the file, they collect as processes of their own over Kafka.
    """
    settings = settings_of(config, kafka, redis, prefix)
    need_rl(settings)
    from infra.training.learning import learn
    from rl.job import TrainingJob
    from rl.notes import Notes

    job = TrainingJob.load(file)
    if job.actors:
        need_kafka(settings)
        notes = Notes(job)
        _check_new(notes, resume)
        with _shown(notes) as showing:
            command = ["actor", str(file), *(("--config", str(config)) if config else ())]
            until_stopped(lambda stop: learn(notes, command, settings, resume=resume, show=showing, stop=stop))
    else:
        notes = _in_process(job, resume)
    if notes.share < 1:
        typer.echo(f"stopped; go on with: finagent train {file} --resume", err=True)
        raise typer.Exit(INTERRUPTED)
    result, paths = _ended(notes)
    if json:
        as_json(result)
    else:
        show(result, paths)


def _check_new(notes: Notes, resume: bool) -> None:
    if notes.begun and not resume:
        raise ConfigError(f"{notes.job.path} holds a training of this job: go on with --resume, or remove the folder")


def _in_process(job: TrainingJob, resume: bool) -> Notes:
    from rl.session import Session

    session = Session(job)
    _check_new(session.notes, resume)
    if resume:
        session.resume()
    with _interruptible() as stopped, _shown(session.notes) as showing:
        for _ in session.run(stopped):
            showing()
    return session.notes


@contextmanager
def _shown(notes: Notes) -> Iterator[Callable[[], None]]:
    """Yield what shows how far a training is, on the terminal and to TensorBoard."""
    from infra.training.board import Board
    from infra.training.display import Display

    job, panel = notes.job, notes.job.market.panel
    kind = "synthetic" if panel.synthetic else "real"
    title = f"{job.training_id}: {job.config.algorithm} on {panel.source} ({kind} data), seed {job.config.seed}"
    with Display.open(title) as display, Board.open(job.path / "tensorboard") as board:

        def showing() -> None:
            display.show(notes)
            board.show(notes)

        yield showing


def _ended(notes: Notes) -> tuple[dict[str, Any], list[Path]]:
    from infra.training.picture import learning_curve
    from rl.diagnosis import warn

    outcome = notes.outcome()
    warn(outcome.diagnosis, outcome.episodes)
    result = outcome.result()
    paths = outcome.write(result)
    picture = notes.job.path / "curve.png"
    learning_curve(notes.curve, notes.examination.points, result, picture)
    return result, [*paths, picture, notes.job.path / "tensorboard"]


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether Ctrl-C or SIGTERM asked to stop; a second Ctrl-C ends at once."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show(result: Mapping[str, Any], paths: list[Path]) -> None:
    """Print a training's result for people."""
    say(f"{result['source']} ({result['data']} data), seed {result['seed']}, config {result['config_sha256'][:12]}")
    if result["note"]:
        say(result["note"])
    say(f"{result['episodes_completed']:,} episodes, {result['steps']:,} steps, {result['updates']:,} updates")
    convergence = result["convergence"]
    say(f"{convergence['status']}: {convergence['reason']}")
    span = result["out_of_sample"]
    rows = [(f"{result['algorithm']} policy", *(result["final_performance"][name] for name in FIGURES))]
    for name, figures in result["baselines"].items():
        rows.append(
            (name, *((figures[each] for each in FIGURES) if isinstance(figures, Mapping) else (figures, "", "", "")))
        )
    table(f"Out of sample, {span['start']} to {span['end']}, net of costs", ("", *FIGURES), rows)
    for path in paths:
        say(f"wrote {path}")
