"""The guide's memory warning, and CPU use that means something from the first look on."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from infra.cli.logs import FORMAT
from orchestrator.load import CpuLoad, MemoryWatch, disk_use, process_report

GB = 10**9


def test_high_memory_is_said_once_in_the_words_of_the_guide(caplog: pytest.LogCaptureFixture) -> None:
    watch = MemoryWatch(8.0)
    assert not watch.look(int(7.9 * GB))
    assert [watch.look(int(used * GB)) for used in (8.5, 9.0, 7.3)] == [True, True, True]
    [record] = caplog.records
    line = logging.Formatter(FORMAT).format(record)
    assert line.endswith("WARNING - FinAgentOrchestrator: High memory usage detected: 8.5GB")


def test_it_is_said_again_after_memory_fell_below_nine_tenths(caplog: pytest.LogCaptureFixture) -> None:
    watch = MemoryWatch(8.0)
    found = [watch.look(int(used * GB)) for used in (8.0, 7.25, 8.1, 7.19, 7.9, 8.2)]
    assert found == [True, True, True, False, False, True]
    assert [record.getMessage() for record in caplog.records] == [
        "High memory usage detected: 8.0GB",
        "High memory usage detected: 8.2GB",
    ]


def test_without_a_limit_nothing_is_high(caplog: pytest.LogCaptureFixture) -> None:
    assert not MemoryWatch().look(10**15)
    assert caplog.records == []


def test_a_process_reports_what_it_really_uses() -> None:
    block = bytearray(64_000_000)
    block[::4096] = b"x" * len(block[::4096])  # touched, so that it is resident
    before = process_report(["alpha"], MemoryWatch(), 5)
    sum(number * number for number in range(3_000_000))
    after = process_report(["alpha"], MemoryWatch(0.05), 6)
    assert before["memory_bytes"] > len(block)
    assert after["cpu_seconds"] > before["cpu_seconds"]
    assert after["high_memory"]
    assert (before["pools"], before["updated"], before["high_memory"]) == (["alpha"], 5, False)


async def test_the_first_look_at_the_cpu_tells_what_was_in_use() -> None:
    load, stop = CpuLoad(), threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    busy = threading.Thread(target=spin)
    busy.start()
    try:
        first = await load.fraction()
    finally:
        stop.set()
        busy.join()
    assert 0 < first <= 1
    assert await load.fraction() == first, "a look too soon after the last gives its value"


def test_disk_use_is_a_fraction(tmp_path: Path) -> None:
    assert 0 < disk_use(tmp_path) < 1
