"""What the store tells of a training: true of the log, built again alike, and not needed for training."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from rl.records import KEPT, NAMES, Records, _Newest, contents, key
from rl.streaming import Streaming
from streams.errors import StoreError
from streams.memory_broker import MemoryBroker
from streams.redis_store import RedisStore
from streams.store import Changes, MemoryStore, Store
from tests.training import LAYOUT, SERDE, World, chunk, plan, record, rows, until, world


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def store(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Store]:
    made: Store = MemoryStore()
    if request.param == "redis":
        made = RedisStore(request.getfixturevalue("redis_url"), prefix=prefix)
    await made.start()
    yield made
    await made.start()
    await made.apply(Changes(delete=[key("t", name) for name in NAMES]))
    await made.stop()


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[World]:
    async with world(MemoryBroker(), tmp_path) as found:
        yield found


def of(found: World, store: Store) -> Records:
    return Records(found.broker, store, "t", LAYOUT, SERDE)


async def whole(store: Store) -> dict[str, Any]:
    """Return everything, the offsets too."""
    offsets = await store.get(key("t", "offsets"))
    return {**await contents(store, "t"), "offsets": json.loads(offsets or b"{}")}


async def test_records_tell_what_the_log_says(there: World, store: Store) -> None:
    config = {"prioritized": True}
    learner = await there.trained(plan(steps=200, config=config), "a", "b", store=store)
    found, chunks, policies = await contents(store, "t"), await there.chunks(), await there.policies()
    for name, actor in found["actors"].items():
        mine = [each for each in chunks if each.actor_id == name]
        assert (actor["chunks"], actor["sequence"], actor["epoch"]) == (len(mine), len(mine) - 1, mine[0].epoch)
        assert actor["episodes"] == sum(len(each.episode_steps) for each in mine)
    told = {(each["actor_id"], each["sequence"], each["policy_version"]) for each in found["segments"]}
    assert told == {(each.actor_id, each.sequence, each.policy_version) for each in chunks}
    rewards = sorted(each["reward"] for each in found["episodes"])
    assert rewards == pytest.approx(sorted(reward for each in chunks for reward in each.episode_rewards))
    assert (found["policy"]["version"], found["policy"]["sha256"]) == (policies[-1].version, policies[-1].sha256)
    assert [each["sha256"] for each in found["policy"]["history"]] == [each.sha256 for each in policies]
    places = {f"{each.partition}:{each.start}" for each in learner.state.segments}
    assert found["policy"]["priorities"].keys() <= places
    assert found["policy"]["priorities"]
    assert all(value not in (0.0, 1.0) for value in found["policy"]["priorities"].values()), "none was learned"


async def test_they_are_built_again_alike(there: World, store: Store) -> None:
    said = [chunk(n, actor_id=name, episode_rewards=(float(n),), episode_steps=(7,)) for n in range(5) for name in "ab"]
    bad = [chunk(2, actor_id="a"), chunk(0, actor_id="a", epoch=0), chunk(9, actor_id="c", rows=rows(20).tobytes()[4:])]
    await there.broker.publish([record(each) for each in [*said, *bad]])
    learner = there.learner(plan(steps=200), store=store)
    await learner.run(asyncio.Event())
    before = await whole(store)
    assert len(before["segments"]) == len(before["episodes"]) == 10
    assert set(before["actors"]) == {"a", "b"}
    await store.set(key("t", "actors"), b'{"a":{"chunks":9}}')
    await of(there, store).rebuild()
    assert await whole(store) == before


class Cut:
    """A store that can be away, and that counts how often it was tried then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away, self.tried = False, 0

    def __getattr__(self, name: str) -> Any:
        async def called(*given: Any) -> Any:
            if self.away:
                self.tried += 1
                raise StoreError("it is away")
            return await getattr(self._store, name)(*given)

        return called


async def test_losing_the_store_stops_nothing(there: World, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cut, stop = cast(Any, Cut(store)), asyncio.Event()
    planned = plan(steps=100_000, streaming=Streaming(chunk_transitions=20, publish_every=10))
    learner = there.learner(planned, store=cut)
    running = asyncio.create_task(learner.run(stop))
    async with there.acting(planned, "a"):
        await until(lambda: learner.state.version > 2)
        cut.away = True
        await until(lambda: cut.tried > 2)
        at = learner.state.version
        await until(lambda: learner.state.version > at + 2)
        lines = [each.message for each in caplog.records]
        assert lines.count("Memory agent unavailable, running without persistence") == 1
        cut.away = False
        await until(lambda: any("the store is back" in each.message for each in caplog.records))
    stop.set()
    await running
    kept = await contents(store, "t")
    assert len(kept["segments"]) == len(await there.chunks())
    assert kept["policy"]["version"] == learner.state.version


async def test_a_store_that_lost_its_content_is_filled_again(there: World, store: Store) -> None:
    await there.broker.publish([record(chunk(n)) for n in range(3)])
    await of(there, store).rebuild()
    before = await whole(store)
    await store.apply(Changes(delete=[key("t", name) for name in NAMES]))
    stop = asyncio.Event()
    keeping = asyncio.create_task(of(there, store).run(stop))
    while not await store.get(key("t", "offsets")):  # noqa: ASYNC110 - the store has no event
        await asyncio.sleep(0.01)
    stop.set()
    await keeping
    assert await whole(store) == before


def members(numbers: Sequence[int]) -> list[bytes]:
    return [f"{number:06d}".encode() for number in numbers]


def test_the_newest_are_kept_in_whatever_order_they_come() -> None:
    kept = _Newest(members(range(100, 100 + KEPT - 1)))
    for each in members([50, KEPT + 200, 30]):
        kept.add(each)
    assert kept.added == set(members([KEPT + 200]))
    assert kept.removed == set()
    kept.add(*members([KEPT + 300]))
    assert kept.removed == set(members([100]))
