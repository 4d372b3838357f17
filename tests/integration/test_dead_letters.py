"""Dead letters from the poison to the redrive, on the log in memory and on a real Kafka."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from typing import Any

import fastavro
import pytest

import schemas
from schemas import Signal
from schemas.avro import fingerprint_of, parsed, schema_of
from streams.broker import MAX_RECORD_BYTES, Broker
from streams.clock import ManualClock
from streams.dead_letters import HANDLER, REDRIVEN, Refusal, dead_letter
from streams.errors import ConfigError, Fenced, MissingData, RecordTooLarge
from streams.kafka_broker import KafkaBroker, KafkaOptions
from streams.letters import Wanted, letter_at, letters, place_of
from streams.memory_broker import MemoryBroker
from streams.outputs import Output
from streams.reading import read_whole
from streams.record import Received, Record, TopicPartition
from streams.redrive import REDRIVE, Marks, Redrive, Verdict, verdict_on
from streams.serde import Serde, single_object
from streams.topics import changelog
from tests.taker import NOW, Taker, letters_on, made, make_topics, record_of, run_through, signal, taken, task_of

SIGNALS = "signals"
NOW_MS = NOW // 1_000_000
CLOCK = ManualClock(NOW)
GOOD = record_of(SIGNALS, signal(), "good")


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
async def broker(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Broker]:
    made: Broker = MemoryBroker()
    if request.param == "kafka":
        made = KafkaBroker(KafkaOptions(request.getfixturevalue("kafka_bootstrap"), prefix=prefix, timeout_s=15))
    await made.start()
    await make_topics(made, [SIGNALS], ("taker", "other"))
    yield made
    await made.stop()


async def records_of(broker: Broker, name: str = SIGNALS) -> list[Received]:
    async with broker.transactions(f"{REDRIVE}.0"):  # waits until what a redrive committed is seen by readers
        return [record async for record in read_whole(broker, [TopicPartition(name, 0)])]


async def redrive(broker: Broker, serde: Serde | None = None, *, force: bool = False) -> list[Verdict]:
    async with Redrive.begin(broker, serde or Serde(), CLOCK) as redriving:
        return await redriving.put_back(await letters_on(broker), force=force)


def newer() -> tuple[bytes, dict[str, Any], bytes]:
    """Return what a newer release wrote: the frame of its schema, the schema, and a value."""
    schema = json.loads(json.dumps(schema_of(Signal)))
    schema["fields"].append({"name": "made_up", "type": "long", "default": 7})
    frame = single_object(fingerprint_of(schema))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(schema), {**signal().to_avro(), "made_up": 9})
    return frame, schema, frame + out.getvalue()


POISON = [
    ("malformed", dataclasses.replace(GOOD, value=b"{}")),
    ("malformed", dataclasses.replace(GOOD, value=None)),
    ("malformed", dataclasses.replace(GOOD, value=(GOOD.value or b"")[:-1])),
    ("unknown_schema", dataclasses.replace(GOOD, value=b"\xc3\x01" + bytes(range(8)) + b"rest")),
    ("headers", dataclasses.replace(GOOD, headers=())),
    ("headers", dataclasses.replace(GOOD, headers=(*GOOD.headers, ("slice", b"-5")))),
    ("headers", dataclasses.replace(GOOD, headers=(*GOOD.headers, ("slice", None)))),
    ("headers", dataclasses.replace(GOOD, headers=(*GOOD.headers, ("ce_id", b"x" * 2000)))),
    ("misplaced", dataclasses.replace(GOOD, key="somebody")),
]


async def test_poison_is_set_aside_whole_with_its_reason_and_the_rest_goes_on(broker: Broker) -> None:
    sent = [each for _, poison in POISON for each in (GOOD, poison)]
    await broker.publish(sent)
    task = task_of(broker, Taker([SIGNALS]), Serde())
    await run_through(broker, task)
    assert taken(task) == {SIGNALS: len(POISON)}
    found = await letters_on(broker, SIGNALS)
    assert [letter.kind for letter in found] == [kind for kind, _ in POISON]
    for number, (letter, (_, poison)) in enumerate(zip(found, POISON, strict=True)):
        original = letter.original
        assert (original.topic, original.partition, original.offset) == (SIGNALS, 0, 2 * number + 1)
        assert (original.key, original.value) == (poison.key, poison.value)
        assert tuple(original.headers) == tuple(poison.headers)
        assert original.timestamp_ms == poison.timestamp_ms
        assert letter.pool == "taker"
        assert letter.reason
        assert letter.record.timestamp_ms == NOW_MS


async def test_a_record_of_an_unknown_schema_goes_back_once_it_is_known(broker: Broker) -> None:
    frame, schema, value = newer()
    await broker.publish([dataclasses.replace(GOOD, value=value)])
    await run_through(broker, task_of(broker, Taker([SIGNALS]), Serde()))
    [refused] = await redrive(broker)
    assert refused.why_not.startswith("it would be refused again: ")
    assert len(await records_of(broker)) == 1

    knowing = Serde()
    knowing.know(frame, schema)
    [first] = await redrive(broker, knowing)
    [second] = await redrive(broker, knowing)
    assert first.is_open
    assert second.done is not None
    assert second.done.letter == first.letter.place
    _, again = await records_of(broker)
    assert (again.key, again.value) == (GOOD.key, value)
    assert tuple(again.headers) == (*GOOD.headers, (REDRIVEN, first.letter.place.encode()))
    task = task_of(broker, Taker([SIGNALS]), knowing)
    await run_through(broker, task)
    assert taken(task) == {SIGNALS: 1}


def raising(message: object) -> list[Output]:
    if getattr(message, "score", None) == 0.25:
        raise ArithmeticError("0.25")
    return []


async def test_what_a_handler_raised_on_goes_back_for_its_pool_alone(broker: Broker) -> None:
    await broker.publish([GOOD, record_of(SIGNALS, signal(0.25), "bad")])
    ours, others = Taker([SIGNALS], raising), Taker([SIGNALS], pool="other")
    await run_through(broker, task_of(broker, ours, Serde()))
    other = task_of(broker, others, Serde())
    await run_through(broker, other)
    assert taken(other) == {SIGNALS: 2}
    [verdict] = await redrive(broker)
    assert (verdict.letter.kind, verdict.letter.only_for) == (HANDLER, "taker")

    mended, other = task_of(broker, Taker([SIGNALS]), Serde()), task_of(broker, others, Serde())
    await run_through(broker, mended)
    await run_through(broker, other)
    assert taken(mended) == {SIGNALS: 2}
    assert taken(other) == {SIGNALS: 2}, "it took the record before"


async def test_a_record_that_fails_again_tells_how_often_it_was_put_back(broker: Broker) -> None:
    await broker.publish([record_of(SIGNALS, signal(0.25), "bad")])
    for times in range(3):
        await run_through(broker, task_of(broker, Taker([SIGNALS], raising), Serde()))
        *_, last = await letters_on(broker)
        assert len(last.redriven) == times
        assert [verdict.is_open for verdict in await redrive(broker)] == [*[False] * times, True]
    places = [letter.place for letter in await letters_on(broker)]
    assert list((await letters_on(broker))[-1].redriven) == places[:-1]


async def test_of_several_letters_of_one_record_it_goes_back_once(broker: Broker) -> None:
    """Each pool that reads a table writes one; so does an orchestrator that was killed after it had."""
    frame, schema, value = newer()
    await broker.publish([dataclasses.replace(GOOD, value=value)])
    [record] = await records_of(broker)
    await broker.publish(
        [dead_letter(record, Refusal("no", "unknown_schema", pool, NOW_MS)) for pool in ("a", "b", "b")]
    )
    knowing = Serde()
    knowing.know(frame, schema)
    assert [verdict.is_open for verdict in await redrive(broker, knowing)] == [True, False, False]
    assert len(await records_of(broker)) == 2


async def test_two_redrives_at_once_put_each_record_back_once(broker: Broker) -> None:
    await broker.publish([record_of(SIGNALS, signal(0.25), f"bad-{number}") for number in range(6)])
    await run_through(broker, task_of(broker, Taker([SIGNALS], raising), Serde()))
    found = await letters_on(broker)
    async with Redrive.begin(broker, Serde(), CLOCK) as first:
        assert all(verdict.is_open for verdict in await first.put_back(found[:3]))
        async with Redrive.begin(broker, Serde(), CLOCK) as second:
            with pytest.raises(Fenced):
                await first.put_back(found[3:])
            opened = [verdict.is_open for verdict in await second.put_back(found)]
    assert opened == [False] * 3 + [True] * 3
    assert len(await records_of(broker)) == 12


async def test_what_would_do_harm_is_refused_unless_it_is_forced(broker: Broker) -> None:
    await make_topics(broker, ["bars"])
    bar, closing = (record_of("bars", made(kind), kind.__name__) for kind in _kinds("Bar", "SliceClosed"))
    await broker.publish([bar, dataclasses.replace(closing, partition=0)])
    refusal = Refusal("no", HANDLER, "alpha", NOW_MS)
    await broker.publish([dead_letter(each, refusal) for each in await records_of(broker, "bars")])
    why = [verdict.why_not for verdict in await redrive(broker)]
    assert why[0].startswith("market data of a slice that has passed")
    assert why[1] == "a slice that was closed is not decided again"
    assert len(await records_of(broker, "bars")) == 2
    assert all(verdict.is_open for verdict in await redrive(broker, force=True))
    assert len(await records_of(broker, "bars")) == 4


def _kinds(*names: str) -> list[Any]:
    return [getattr(schemas, name) for name in names]


async def test_letters_are_chosen_by_kind_words_and_time(broker: Broker) -> None:
    refusals = [
        Refusal("the key is 'a'", "misplaced", "taker", NOW_MS),
        Refusal("no framing", "malformed", "taker", NOW_MS + 5),
    ]
    await broker.publish([GOOD])
    [record] = await records_of(broker)
    await broker.publish([dead_letter(record, each) for each in refusals])

    async def offsets(**wanted: Any) -> list[int]:
        return [letter.record.offset async for letter in letters(broker, Wanted(**wanted))]

    assert await offsets(reason="misplaced") == [0]
    assert await offsets(reason="framing") == [1]
    assert await offsets(since_ms=NOW_MS + 1) == [1]
    assert await offsets(since_ms=NOW_MS + 6) == []
    assert await offsets(topic="signals.dlq") == await offsets(topic="signals") == [0, 1]
    with pytest.raises(MissingData, match=r"there is no topic 'nothing\.dlq'"):
        await offsets(topic="nothing")
    assert (await letter_at(broker, *place_of("signals/0/1"))).reason == "no framing"
    with pytest.raises(MissingData, match=r"no dead letter at signals\.dlq/0/9"):
        await letter_at(broker, *place_of("signals.dlq/0/9"))
    with pytest.raises(ConfigError, match="is no dead letter's place"):
        place_of("signals/0")


async def test_a_record_that_is_too_large_is_refused_where_it_would_be_sent(broker: Broker) -> None:
    large = dataclasses.replace(GOOD, value=b"x" * (MAX_RECORD_BYTES + 1))
    with pytest.raises(RecordTooLarge, match=f"for signals, expected at most {MAX_RECORD_BYTES}"):
        await broker.publish([GOOD, large])
    assert await broker.publish([GOOD]) == [0], "nothing was sent, and the producer goes on"


async def test_a_record_that_leads_to_one_that_is_too_large_is_set_aside(broker: Broker) -> None:
    await make_topics(broker, ["risk"])

    def leads(message: Any) -> list[Output]:
        said = made(_kinds("KillSwitchChanged")[0], reason="x" * (MAX_RECORD_BYTES if message.score == 0.25 else 1))
        return [Output(said, "bad" if message.score == 0.25 else "good", "run-1")]

    await broker.publish([GOOD, record_of(SIGNALS, signal(0.25), "bad"), GOOD])
    task = task_of(broker, Taker([SIGNALS], leads), Serde())
    await run_through(broker, task)
    assert taken(task) == {SIGNALS: 2}
    [letter] = await letters_on(broker, SIGNALS)
    assert letter.original.offset == 1
    assert "signals[0]@1 led to a record of" in letter.reason


def foreign(kafka_bootstrap: str, name: str, records: list[tuple[Any, Any, list[Any]]], partition: int = 0) -> None:
    """Write what the project's own producer refuses to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it reads its own files in an old way
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, max_request_size=2_000_000)
        for key, value, headers in records:
            producer.send(name, value, key, headers=headers, partition=partition).get(10)
        producer.close()


class _Odd(str):
    """A header's name that is no UTF-8."""

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


@pytest.mark.kafka
async def test_what_only_foreign_clients_write_is_kept_whole(kafka_bootstrap: str, prefix: str) -> None:
    broker = KafkaBroker(KafkaOptions(kafka_bootstrap, prefix=prefix, timeout_s=15))
    await broker.start()
    await make_topics(broker, [SIGNALS])
    good, headers = GOOD.value or b"", list(GOOD.headers)
    large = b"y" * 1_040_000
    foreign(
        kafka_bootstrap,
        prefix + SIGNALS,
        [
            (b"acc", good, [(_Odd("x"), b"v"), *headers]),
            (b"acc", large, headers),
            (b"\xff\x00", good, headers),
            (None, good, headers),
            (b"acc", good, headers),
            (b"acc", b"junk", [(_Odd("x"), b"v")]),
        ],
    )
    task = task_of(broker, Taker([SIGNALS]), Serde())
    await run_through(broker, task)
    assert taken(task) == {SIGNALS: 2}
    found = await letters_on(broker)
    assert [letter.kind for letter in found] == ["oversized", "misplaced", "misplaced", "malformed"]
    assert found[0].original.value == large
    assert [letter.original.odd_key for letter in found[1:3]] == [(b"\xff\x00",), (None,)]
    assert found[3].original.headers == (("\\xff\\xfe", b"v"),)
    assert [bool(verdict.why_not) for verdict in await redrive(broker)] == [True] * 4
    forced = await redrive(broker, force=True)
    assert [verdict.why_not for verdict in forced if verdict.why_not] == [
        f"it is too large: {found[0].put_back().size} bytes, expected at most {MAX_RECORD_BYTES}"
    ]
    assert [each.odd_key for each in (await records_of(broker))[-3:-1]] == [(b"\xff\x00",), (None,)]
    await broker.stop()


KILLED = """
import os, signal, sys
from streams.kafka_sessions import KafkaTransactions
from infra.cli.app import run
commit, when = KafkaTransactions.commit, sys.argv.pop(1)
async def dying(self, records, offsets=None, follow=None):
    def die(placed):
        if when == "between":
            os.kill(os.getpid(), signal.SIGKILL)
        return follow(placed)
    if follow is None:  # what it writes to take the marks over
        return await commit(self, records, offsets)
    await commit(self, records, offsets, die)
    os.kill(os.getpid(), signal.SIGKILL)
KafkaTransactions.commit = dying
run(sys.argv[1:])
"""


def finagent(bootstrap: str, prefix: str, *arguments: str, killed: str = "") -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-c", KILLED, killed] if killed else [sys.executable, "-m", "infra.cli"]
    command = [*start, "dlq", *arguments, "--kafka", bootstrap, "--prefix", prefix]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=os.environ)


@pytest.mark.kafka
@pytest.mark.timeout(400)
async def test_the_command_lists_shows_and_puts_back_once_whatever_is_killed(kafka_bootstrap: str, prefix: str) -> None:
    broker = KafkaBroker(KafkaOptions(kafka_bootstrap, prefix=prefix, timeout_s=15))
    await broker.start()
    await make_topics(broker, [SIGNALS])
    escaping = dataclasses.replace(GOOD, value=b"{} \x00junk", headers=(("ce_id", b"\x1b[31m"),))
    await broker.publish([record_of(SIGNALS, signal(0.25), "bad"), escaping])
    await run_through(broker, task_of(broker, Taker([SIGNALS], raising), Serde()))

    listed = json.loads(finagent(kafka_bootstrap, prefix, "list", "--json").stdout)
    assert {(each["kind"], each["letters"]) for each in listed["counts"]} == {("handler", 1), ("malformed", 1)}
    [place] = [each["place"] for each in listed["letters"] if each["kind"] == "malformed"]
    told = finagent(kafka_bootstrap, prefix, "list").stdout
    assert "2 dead letters, by topic and kind" in told
    shown = finagent(kafka_bootstrap, prefix, "show", *place.split("/"))
    assert "7b 7d 20 00 6a 75 6e 6b" in shown.stdout, shown.stderr
    assert "{} .junk" in shown.stdout
    assert "ce_id: \\x1b[31m" in shown.stdout
    assert "on redrive   refused: it would be refused again: no Avro framing" in shown.stdout
    whole = json.loads(finagent(kafka_bootstrap, prefix, "show", place, "--json").stdout)
    assert bytes.fromhex(whole["value_hex"]) == b"{} \x00junk"

    tried = finagent(kafka_bootstrap, prefix, "redrive", "--all", "--dry-run")
    assert tried.stdout.splitlines()[-1] == "1 would be put back, 0 put back before, 1 refused"
    assert changelog(REDRIVE) not in await broker.topics(), "to look changes nothing"
    assert len(await records_of(broker)) == 2
    assert finagent(kafka_bootstrap, prefix, "redrive", "--all", killed="between").returncode == -9
    assert len(await records_of(broker)) == 2, "the record was sent, and no mark: neither counts"
    assert finagent(kafka_bootstrap, prefix, "redrive", "--all", killed="after").returncode == -9
    assert len(await records_of(broker)) == 3
    done = finagent(kafka_bootstrap, prefix, "redrive", "--all")
    assert done.stdout.splitlines()[-1] == "0 put back, 1 put back before, 1 refused"
    assert done.returncode == 1
    assert len(await records_of(broker)) == 3
    assert "choose dead letters" in finagent(kafka_bootstrap, prefix, "redrive").stderr

    outside = finagent(kafka_bootstrap, "", "redrive", "--topic", prefix + SIGNALS, "--force", "--json")
    letters_there = json.loads(outside.stdout)["letters"]
    assert f"give --prefix {prefix}" in letters_there[0]["redrive"]
    assert len(await records_of(broker)) == 3
    await broker.stop()


async def test_the_marks_of_one_log_say_nothing_of_another(broker: Broker) -> None:
    """A topic that was deleted and made again has other records at the same places."""
    await broker.publish([record_of(SIGNALS, signal(0.25), "one"), record_of(SIGNALS, signal(0.25), "two")])
    one, two = await records_of(broker)
    refusal = Refusal("no", HANDLER, "taker", NOW_MS)
    await broker.publish([dead_letter(one, refusal), dead_letter(dataclasses.replace(two, offset=0), refusal)])
    first, second = await letters_on(broker)
    async with Redrive.begin(broker, Serde(), CLOCK) as redriving:
        assert [each.is_open for each in await redriving.put_back([first])] == [True]
    marks = await Marks.read(broker, Serde())
    assert verdict_on(first, marks, Serde(), {SIGNALS: 1}).done is not None
    assert verdict_on(second, marks, Serde(), {SIGNALS: 1}).is_open


async def test_a_record_that_is_no_letter_is_listed_and_never_put_back(broker: Broker) -> None:
    await broker.publish([Record("signals.dlq", "k", b"?", (("dlq_reason", b"mine"),), 0)])
    [letter] = await letters_on(broker)
    assert not letter.is_whole
    [verdict] = await redrive(broker, force=True)
    assert verdict.why_not == "its headers do not say where its record stood"
