"""`finagent dlq`: records that no handler could take; put back once what was wrong is mended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated

import typer

from infra.cli.connection import connected, speaking
from infra.cli.exits import FAILED
from infra.cli.feed_times import start_ns
from infra.cli.letter_shown import Shown, details, line, lines, outcome, printable
from infra.cli.options import Config, Json, Kafka, Prefix, settings_of
from infra.cli.output import as_json, say, table
from orchestrator.settings import Settings
from streams.broker import Broker
from streams.clock import WallClock
from streams.dead_letters import Letter
from streams.errors import BrokerError, ConfigError, Fenced
from streams.letters import Wanted, letter_at, letters, place_of
from streams.record import rfc3339
from streams.redrive import REDRIVE, Marks, Redrive, Verdict, verdict_on

dlq = typer.Typer(help="List dead letters, look at one, and put records back.", no_args_is_help=True)
AT_ONCE = 200
"""Records of one transaction at most."""
AT_ONCE_BYTES = 5_000_000
"""Bytes of letters from which on a transaction takes no more."""
MAX_SHOWN = 1000
"""Letters of a redrive that are told of one by one."""
_REASON = 100
"""Characters of a reason in a list."""
_COLUMNS = ("place", "refused at", "kind", "pool", "came from", "redriven", "reason")
_COUNTED = ("topic", "kind", "letters", "first", "last")
Topic = Annotated[str | None, typer.Option(help="Of this topic alone, named with or without its .dlq.")]
Reason = Annotated[str | None, typer.Option(help="Of this kind, or with these words in their reason.")]
Since = Annotated[str, typer.Option(help="Refused at this ISO date or time, or later.")]


@dlq.command("list")
def list_(
    topic: Topic = None,
    reason: Reason = None,
    since: Since = "",
    limit: Annotated[int, typer.Option(min=0, help="Show the newest so many; all are counted.")] = 20,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Count the dead letters of every topic by reason, and show the newest."""
    settings = settings_of(config, kafka, None, prefix)
    found = asyncio.run(_found(settings, _wanted(topic, reason, since), limit))
    if json:
        as_json(found)
    elif not found["total"]:
        say("no dead letters")
    else:
        rows = [[each[name] for name in ("topic", "kind", "letters", "first", "last")] for each in found["counts"]]
        table(f"{found['total']:,} dead letters, by topic and kind", _COUNTED, rows)
        names = ("place", "time", "kind", "pool", "source", "redriven", "reason")
        shown = [[each[name] for name in names] for each in found["letters"]]
        if shown:
            table(f"the newest {len(shown)}", _COLUMNS, [[*row[:-1], _short(row[-1])] for row in shown])


@dlq.command()
def show(
    place: Annotated[str, typer.Argument(metavar="TOPIC PARTITION OFFSET", help="Or topic/partition/offset.")],
    partition: Annotated[int | None, typer.Argument(min=0, show_default=False)] = None,
    offset: Annotated[int | None, typer.Argument(min=0, show_default=False)] = None,
    dumped: Annotated[int, typer.Option("--bytes", min=0, help="Dump so many bytes; with --json all.")] = 1024,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Show a dead letter whole: why it was refused, its headers and bytes, and what a redrive would do."""
    if (partition is None) != (offset is None):
        raise ConfigError("name a dead letter as TOPIC PARTITION OFFSET, or as topic/partition/offset")
    named = place if partition is None else f"{place}/{partition}/{offset}"
    found = asyncio.run(_shown(settings_of(config, kafka, None, prefix), named))
    if json:
        as_json(found)
        return
    for text in lines(found, dumped):
        say(text)


@dlq.command()
def redrive(
    places: Annotated[list[str] | None, typer.Argument(metavar="[TOPIC/PARTITION/OFFSET]...")] = None,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = "",
    every: Annotated[bool, typer.Option("--all", help="Every dead letter of every topic.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Those too that will likely be refused again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Put records back on their topics, each once; exit code 1 where one was not put back, now or before."""
    chosen = [bool(places), bool(topic or reason or since), every]
    if sum(chosen) != 1:
        raise ConfigError("choose dead letters by their places, or by --topic, --reason and --since, or give --all")
    settings = settings_of(config, kafka, None, prefix)
    try:
        found = asyncio.run(_redriven(settings, places or [], _wanted(topic, reason, since), force, dry_run))
    except Fenced:
        raise BrokerError(
            "another redrive has begun and goes on alone; run this again: what either put back is not put back twice"
        ) from None
    if json:
        as_json(found)
    else:
        _tell(found)
    if found["refused"]:
        raise typer.Exit(FAILED)


def _wanted(topic: str | None, reason: str | None, since: str) -> Wanted:
    ns = start_ns(since)
    return Wanted(topic, reason, None if ns is None else ns // 1_000_000)


async def _found(settings: Settings, wanted: Wanted, limit: int) -> Shown:
    counts: Counter[tuple[str, str]] = Counter()
    times: dict[tuple[str, str], tuple[int, int]] = {}
    newest: list[Letter] = []
    async with connected(settings) as broker:
        async for letter in letters(broker, wanted):
            group, at = (letter.record.topic, letter.kind), letter.record.timestamp_ms
            counts[group] += 1
            first, last = times.get(group, (at, at))
            times[group] = min(first, at), max(last, at)
            newest.append(letter)
            if len(newest) > 2 * limit + 100:
                newest = _newest(newest, limit)
    rows = [
        {
            "topic": group[0],
            "kind": group[1],
            "letters": count,
            "first": rfc3339(times[group][0] * 1_000_000),
            "last": rfc3339(times[group][1] * 1_000_000),
        }
        for group, count in counts.items()
    ]
    return {
        "total": counts.total(),
        "counts": sorted(rows, key=lambda row: row["last"], reverse=True),
        "letters": [line(letter) for letter in _newest(newest, limit)],
    }


def _newest(found: list[Letter], limit: int) -> list[Letter]:
    def age(letter: Letter) -> tuple[int, str, int, int]:
        record = letter.record
        return record.timestamp_ms, record.topic, record.partition, record.offset

    return sorted(found, key=age, reverse=True)[:limit]


async def _shown(settings: Settings, place: str) -> Shown:
    async with connected(settings) as raw:
        broker, serde = await speaking(settings, raw, ())
        letter = await letter_at(broker, *place_of(place))
        verdict = verdict_on(letter, await Marks.read(broker, serde), serde, await broker.topics())
        return details(verdict, serde)


async def _redriven(settings: Settings, places: list[str], wanted: Wanted, force: bool, dry_run: bool) -> Shown:
    async with connected(settings) as raw:
        broker, serde = await speaking(settings, raw, (), [REDRIVE])
        batches, told = _batches(_chosen(broker, places, wanted)), _Told(dry_run)
        if dry_run:
            marks, counts = await Marks.read(broker, serde), await broker.topics()
            async for batch in batches:
                told.add([verdict_on(letter, marks, serde, counts, force=force) for letter in batch])
            return told.shown()
        async with Redrive.begin(broker, serde, WallClock()) as redriving:
            async for batch in batches:
                told.add(await redriving.put_back(batch, force=force))
        return told.shown()


async def _chosen(broker: Broker, places: list[str], wanted: Wanted) -> AsyncIterator[Letter]:
    if not places:
        async for letter in letters(broker, wanted):
            yield letter
    for place in dict.fromkeys(places):
        yield await letter_at(broker, *place_of(place))


async def _batches(chosen: AsyncIterator[Letter]) -> AsyncIterator[list[Letter]]:
    batch: list[Letter] = []
    size = 0
    async for letter in chosen:
        batch.append(letter)
        size += letter.record.size
        if len(batch) >= AT_ONCE or size > AT_ONCE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@dataclass
class _Told:
    """What became of the letters: all counted, so many of them shown."""

    dry_run: bool
    put_back: int = 0
    before: int = 0
    refused: int = 0
    letters: list[Shown] = field(default_factory=list)

    def add(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self.put_back += verdict.is_open
            self.before += verdict.done is not None
            self.refused += bool(verdict.why_not)
            if len(self.letters) < MAX_SHOWN:
                self.letters.append({**line(verdict.letter), "redrive": outcome(verdict)})

    def shown(self) -> Shown:
        return {
            "dry_run": self.dry_run,
            "put_back": self.put_back,
            "put_back_before": self.before,
            "refused": self.refused,
            "letters": self.letters,
        }


def _tell(found: Shown) -> None:
    rows = [(each["place"], printable(each["redrive"])) for each in found["letters"]]
    if rows:
        table("what would become of each" if found["dry_run"] else "what became of each", ("dead letter", ""), rows)
    if (total := found["put_back"] + found["put_back_before"] + found["refused"]) > len(rows):
        say(f"and {total - len(rows):,} more")
    would = "would be " if found["dry_run"] else ""
    before, refused = found["put_back_before"], found["refused"]
    say(f"{found['put_back']:,} {would}put back, {before:,} put back before, {refused:,} refused")


def _short(reason: str) -> str:
    return printable(reason if len(reason) <= _REASON else f"{reason[:_REASON]} ...")
