"""Calls to aiokafka that end otherwise than it says: hung, cancelled from within, answered with an error."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.protocol.commit import OffsetFetchResponse_v3

from streams import kafka_calls
from streams.errors import BrokerError
from streams.kafka_calls import limited, offsets_of_group, stopped

BARS = [TopicPartition("bars", 0), TopicPartition("bars", 1)]


async def cancelled_within() -> None:
    """Wait for a future of the library's own that it cancels."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def test_a_future_cancelled_within_is_an_error_and_not_the_end_of_the_task() -> None:
    with pytest.raises(BrokerError, match="aiokafka cancelled a call"):
        await limited(cancelled_within(), 5)


async def test_who_is_cancelled_is_cancelled() -> None:
    waiting = asyncio.create_task(limited(asyncio.sleep(60), 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_client_whose_stop_is_cancelled_within_has_stopped() -> None:
    """As the sender of a fenced producer may do: what it was fenced by has to be heard."""
    await stopped(cancelled_within())


async def test_a_client_that_hangs_on_when_cancelled_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_calls, "STOP_S", 0.01)
    let_go = asyncio.Event()

    async def hanging() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    await asyncio.wait_for(stopped(hanging()), 5)
    let_go.set()


class Admin:
    """Answers for the coordinator of a group."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def find_coordinator(self, group: str) -> int:
        return 1

    async def _send_request(self, request: Any, node_id: int) -> Any:
        return self._answer


def answer(*parts: tuple[int, int, int], error: int = 0) -> Any:
    """Return an answer about partitions of bars, each with its offset and error."""
    return OffsetFetchResponse_v3(0, [("bars", [(at, offset, "", code) for at, offset, code in parts])], error)


async def test_offsets_of_a_group_are_those_that_it_has() -> None:
    admin: Any = Admin(answer((0, 7, 0), (1, -1, 0)))
    assert await offsets_of_group(admin, "risk.0", BARS) == {BARS[0]: 7}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (SimpleNamespace(topics=[], error_code=14), kafka_errors.GroupLoadInProgressError),
        (answer((0, -1, 0), (1, -1, 0), error=16), kafka_errors.NotCoordinatorForGroupError),
        (answer((0, 7, 0), (1, -1, 3)), kafka_errors.UnknownTopicOrPartitionError),
    ],
)
async def test_a_coordinator_that_does_not_know_is_not_taken_for_a_group_without_offsets(
    said: Any, error: type[Exception]
) -> None:
    admin: Any = Admin(said)
    with pytest.raises(error):
        await offsets_of_group(admin, "risk.0", BARS)
