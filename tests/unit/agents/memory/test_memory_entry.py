"""What memory makes of a record: hand-made records of each kind."""

from __future__ import annotations

import numpy as np
import pytest

from agents.memory.content import MAX_BYTES
from agents.memory.entry import Entry, entry_of, references_of
from schemas import SliceClosed, StepCompleted, TickBlock, TransitionsRecorded
from streams.dead_letters import Refusal, dead_letter
from streams.ids import derive_id
from streams.record import Record, rfc3339
from tests.dataplane import SERDE, START, instrument, started
from tests.unit.agents.memory.memory_log import DAY, entry, filled, received, sent, signal


def references(found: Entry) -> set[str]:
    return {key.removeprefix("memory:ref:") for key in references_of(found.document)}


def test_a_fill_is_kept_with_its_ids_its_time_its_words_and_its_fields() -> None:
    found = entry(sent(filled(3), "f", START + 5, cause="order"), partition=2, offset=7)
    document = found.document
    assert document["message_id"] == found.message_id == derive_id("f", "test")
    assert (document["topic"], document["partition"], document["offset"]) == ("fills", 2, 7)
    assert (document["type"], document["says"], document["source"]) == ("OrderFilled", "a OrderFilled", "test")
    assert (document["time"], document["recorded"]) == (rfc3339(START + 3 * DAY), rfc3339(START + 5))
    assert document["instruments"] == ["AAPL.XNAS"]
    assert document["message"]["price"] == 10.0
    assert document["message"]["synthetic"] is True
    assert references(found) == {"run", "order", "strategy", "account", "AAPL"}


def test_an_order_of_positions_is_recording_then_event_then_rank_then_id() -> None:
    ordered = [
        entry(sent(filled(9), "a", START)),
        entry(sent(filled(0), "b", START + 1)),
        entry(sent(signal(1), "c", START + 1)),
        entry(sent(filled(2), "d", START + 1)),
        entry(sent(signal(2), "e", START + 1)),
    ]
    assert sorted(each.position for each in ordered) == [each.position for each in ordered]


def test_the_closing_of_a_slice_is_left_out() -> None:
    closing = SliceClosed(ts_event=START, source="feed", partition=0, stage="data")
    assert entry_of(received(sent(closing, "c", topic="bars")), SERDE, repr) is None


def test_a_block_is_one_event_without_its_columns() -> None:
    rows = np.arange(1000, dtype=float)
    block = TickBlock(
        instrument_id="SIMA.SIM",
        source="test",
        synthetic=True,
        base_ts=START,
        seq0=0,
        dt_ns=rows,
        price=rows + 1,
        size=rows,
        side=np.zeros(1000, dtype=np.int64),
    )
    document = entry(sent(block, "b")).document
    assert document["message"] == {
        "instrument_id": "SIMA.SIM",
        "source": "test",
        "synthetic": True,
        "base_ts": START,
        "seq0": 0,
        "rows": 1000,
    }
    assert document["time"] == rfc3339(START + 999)


def test_what_is_too_large_gives_its_size_and_the_rest_stays() -> None:
    result = {"orders": [{"instrument_id": "AAPL.XNAS"}], "rows": "x" * 50_000}
    answer = StepCompleted(workflow_id="w", step_id="s", attempt=1, result=result, ts_event=START)
    found = entry(sent(answer, "a"))
    assert found.document["message"]["result"]["rows"] == {"left_out_bytes": 50_002}
    assert found.document["message"]["result"]["orders"] == [{"instrument_id": "AAPL.XNAS"}]
    assert found.document["message"]["step_id"] == "s"
    assert len(found.value()) < 2 * MAX_BYTES
    many = {str(number): "x" * 100 for number in range(1000)}
    answer = StepCompleted(workflow_id="w", step_id="s", attempt=1, result=many, ts_event=START)
    assert set(entry(sent(answer, "a")).document["message"]["result"]) == {"left_out_bytes"}


def test_bytes_give_their_size() -> None:
    chunk = TransitionsRecorded(
        training_id="t",
        actor_id="a",
        epoch=0,
        sequence=0,
        policy_version=0,
        environments=1,
        observation_size=1,
        action_size=1,
        rows=bytes(24),
        ts_event=START,
    )
    assert entry(sent(chunk, "a")).document["message"]["rows"] == {"left_out_bytes": 24}


def test_a_run_is_found_by_each_of_its_symbols() -> None:
    run = started("run", [instrument("AAPL"), instrument("BRK.B", "XNYS")])
    found = entry(sent(run, "r"))
    assert found.document["instruments"] == ["AAPL.XNAS", "BRK.B.XNYS"]
    assert references(found) >= {"AAPL", "BRK.B", "run", "s-run", "a-run"}


def test_a_dead_letter_has_an_id_of_its_own_and_leads_to_what_was_refused() -> None:
    record = received(sent(signal(), "s"), partition=1, offset=9)
    letters = [
        dead_letter(record, Refusal("score is not finite", "invalid", pool, 0)) for pool in ("portfolio", "risk")
    ]
    found = [entry(each) for each in letters]
    assert len({each.message_id for each in found} | {derive_id("s", "test")}) == 3
    document = found[0].document
    assert (document["topic"], document["type"], document["source"]) == ("signals.dlq", "DeadLetter", "portfolio")
    assert document["causation_id"] == derive_id("s", "test")
    assert document["refused_at"] == "signals[1]@9"
    assert document["says"] == "portfolio refused a record of signals: score is not finite"
    assert document["message"]["reason"] == "score is not finite"
    assert references(found[0]) >= {"AAPL", "run", "strategy", derive_id("s", "test")}


@pytest.mark.parametrize("value", [b"\xc3\x01 junk", b"", None])
@pytest.mark.parametrize("headers", [(), sent(signal(), "s").headers])
def test_what_cannot_be_read_is_kept_as_such(value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> None:
    record = Record("signals", "key", value, headers, timestamp_ms=START // 1_000_000)
    found = entry(record, partition=2, offset=4)
    assert found.document["type"] == "Unreadable"
    assert found.document["recorded"] == rfc3339(START)
    assert found.document["message"]["size"] == len(value or b"")
    assert found.position == entry(record, partition=0, offset=1).position
    assert found.message_id != derive_id("s", "test"), "another message may have taken the id that its headers claim"
