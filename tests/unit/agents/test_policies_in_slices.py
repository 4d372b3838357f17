"""Which version of a policy decides is said by the feed, slice by slice; pools wait until they have read it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from pydantic import Field

from agents.context import Context, Slice
from agents.data.feed import Feed
from agents.pool import AgentPool
from schemas import PolicyInForce, PolicyPublished, SliceClosed, StrategyStopped
from streams.errors import ConfigError
from streams.record import Record
from streams.slices import ROLES, Frontier, SliceInbox
from streams.state import State
from tests.dataplane import SERDE, Plane, bar, instrument, record, started
from tests.unit.streams.slice_logs import Log
from tests.unit.streams.slice_logs import started as run_of

AAPL = instrument("AAPL")


def published(policy_id: str, version: int, *, serving: bool = True, weights: bytes = b"w") -> PolicyPublished:
    return PolicyPublished(
        policy_id=policy_id,
        version=version,
        algorithm="TD3",
        training_id="t",
        weights=weights + str(version).encode(),
        sha256=hashlib.sha256(weights + str(version).encode()).hexdigest(),
        metadata={"serving": serving},
        ts_event=version,
    )


async def named(plane: Plane, feed: Feed, day: int) -> list[tuple[str, int]]:
    """Feed a bar; return what its slice names, on every partition alike."""
    await feed.publish([[bar(AAPL.instrument_id, day, 10.0 + day)]])
    decoded = [SERDE.decode(each.value) for name in ("ticks", "bars") for each in plane.records(name)]
    last = [each for each in decoded if isinstance(each, SliceClosed) and each.ts_event == feed.state.last_slice]
    (policies,) = {each.policies for each in last}
    return [(each.policy_id, each.version) for each in policies]


async def test_a_slice_names_the_newest_version_of_what_active_runs_ask_for() -> None:
    plane = Plane(partitions={"account": 1, "instrument": 2, "workflow": 1, "single": 1})
    await plane.create()
    async with Feed.open(plane.broker, plane.partitions, plane.clock, SERDE) as feed:
        await plane.say(published("p", 1), published("other", 1))
        assert await named(plane, feed, 1) == [], "nobody asks for it"
        await plane.announce(started("r", [AAPL], parameters={"policy_id": "p"}))
        assert await named(plane, feed, 2) == [("p", 1)]
        await plane.say(published("p", 3), published("p", 2), published("p", 9, serving=False))
        assert await named(plane, feed, 3) == [("p", 3)], "an older one comes too late, one of actors may not decide"
        await plane.say(StrategyStopped(run_id="r", reason="", ts_event=1))
        assert await named(plane, feed, 4) == []


async def test_a_policy_that_was_changed_on_the_way_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    plane = Plane()
    await plane.create()
    async with Feed.open(plane.broker, plane.partitions, plane.clock, SERDE) as feed:
        await plane.announce(started("r", [AAPL], parameters={"policy_id": "p"}))
        good = record(published("p", 1, weights=b"AAAA"))
        await plane.broker.publish([good])
        assert good.value is not None
        changed = record(published("p", 2, weights=b"BBBB"))
        assert changed.value is not None
        await plane.broker.publish(
            [Record(changed.topic, "p", changed.value.replace(b"BBBB", b"EVIL"), changed.headers)]
        )
        assert await named(plane, feed, 1) == [("p", 1)]
    assert "they were changed" in caplog.text


def test_a_slice_waits_for_the_version_that_it_names() -> None:
    read: dict[str, int] = {}
    role, runs = ROLES["alpha"], {"r": run_of("r")}
    inbox = SliceInbox(role, 0, {"instrument": 1, "account": 1}, runs, Frontier(), read)
    log = Log({"instrument": 1, "account": 1})
    log.close_feed(5, ["r"])
    for place, events in log.places.items():
        for event in events:
            closing = event.message
            assert isinstance(closing, SliceClosed)
            policies = (PolicyInForce(policy_id="p", version=2, sha256="0" * 64),)
            told = closing.model_copy(update={"policies": policies})
            inbox.offer(type(event)(told, event.envelope, event.record))
        assert place.topic in ("ticks", "bars")
    assert inbox.next() is None
    read["p"] = 1
    assert inbox.next() is None
    read["p"] = 2
    work = inbox.next()
    assert work is not None
    assert [policy.version for policy in work.policies] == [2]


class Versions(State):
    """What a pool has read."""

    read: list[int] = Field(default_factory=list)


async def test_a_pool_takes_policies_ahead_of_slices_and_recalls_them_after_a_restart() -> None:
    found: list[tuple[int, list[int], list[int]]] = []
    pool = AgentPool("follower", role="alpha")

    @pool.on
    def on_policy(policy: PolicyPublished, versions: Versions) -> None:
        versions.read = [*versions.read, policy.version]

    @pool.on
    def on_slice(slice_: Slice, context: Context) -> None:
        read = context.state(Versions, "p").read
        found.append((slice_.ts, list(read), [policy.version for policy in slice_.policies]))

    plane = Plane(pools=[pool])
    async with plane.running():
        feed = plane.feed
        assert feed is not None
        await plane.announce(started("r", [AAPL], alpha_pool="follower", parameters={"policy_id": "p"}))
        await plane.say(published("p", 1))
        await feed.publish([[bar(AAPL.instrument_id, 1, 10.0)]])
        await plane.until(lambda: len(found) == 1)
        await plane.kill()
        await plane.say(published("p", 2))
        await feed.publish([[bar(AAPL.instrument_id, 2, 11.0)]])
        await plane.until(lambda: len(found) == 2)
    assert [(read, named) for _, read, named in found] == [([1], [1]), ([1, 2], [2])]


def a_policy_per_run(policy: PolicyPublished, run: Any) -> None: ...


def test_a_policy_has_no_run() -> None:
    from agents.context import Run

    a_policy_per_run.__annotations__["run"] = Run
    with pytest.raises(ConfigError, match="PolicyPublished comes outside slices, where there is no Run"):
        AgentPool("p", role="alpha").on(a_policy_per_run)
