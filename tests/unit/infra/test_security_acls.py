"""The rights of components: they follow from the code, and nobody has more than the code needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.context import Run as ActiveRun
from agents.pool import AgentPool
from infra.security.acls import Acl, acls
from infra.security.components import Component, components
from infra.security.provision import rights
from orchestrator.settings import Settings
from orchestrator.wiring import pools_of
from schemas import Bar, OrderDenied, Signal, TickBlock
from streams.errors import ConfigError
from streams.topics import TOPICS, dead_letters
from tests.unit.infra.conftest import Run

DOC = Path(__file__).parents[3] / "docs" / "security.md"


def of(name: str, *custom: AgentPool) -> Component:
    return next(each for each in components(Settings(), custom) if each.name == name)


def writers(topic: str) -> set[str]:
    return {each.name for each in components(Settings()) if topic in each.writes}


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        ("orders", {"risk"}),
        ("risk", {"risk"}),
        ("fills", {"execution"}),
        ("targets", {"portfolio"}),
        ("positions", {"portfolio"}),
        ("ticks", {"feed"}),
        ("bars", {"feed"}),
        ("instruments", {"feed"}),
        ("commands", {"client"}),
        ("steps", {"orchestrator"}),
        ("workflows", {"orchestrator"}),
        ("strategies", {"orchestrator"}),
        ("backtests", {"sweep"}),
        ("backtest_results", {"backtests"}),
        ("rl.policies", {"learner", "client"}),
        ("rl.transitions", {"actor"}),
    ],
)
def test_each_topic_has_its_writers_and_the_operator_s_redrive(topic: str, allowed: set[str]) -> None:
    assert writers(topic) == allowed | {"redrive"}


def test_signals_come_from_alpha_pools() -> None:
    alphas = {pool.name for pool in pools_of(Settings()) if pool.role == "alpha"}
    assert writers("signals") == alphas | {"redrive"}


def test_every_topic_has_a_writer_besides_the_redrive() -> None:
    for name in TOPICS:
        assert writers(name) - {"redrive"}, name


def test_a_topic_with_one_writing_role_is_written_by_its_pool_alone() -> None:
    for topic in TOPICS.values():
        if topic.writer is not None:
            assert writers(topic.name) == {topic.writer, "redrive"}


def test_a_pool_may_set_aside_what_it_reads_and_keeps_its_state_to_itself() -> None:
    alpha = of("alpha")
    assert {dead_letters(name) for name in ("ticks", "bars", "strategies")} <= alpha.writes
    assert dead_letters("orders") not in alpha.writes
    assert "alpha.changelog" in alpha.reads & alpha.writes
    others = [each for each in components(Settings()) if each.name != "alpha"]
    assert not any("alpha.changelog" in each.reads | each.writes for each in others)


def test_an_orchestrator_may_commit_for_its_partitions_and_nobody_else_may() -> None:
    found = rights(Settings())
    assert Acl("orchestrator", "TransactionalId", "PREFIXED", "orchestrator.", "WRITE") in found
    assert Acl("orchestrator", "Group", "LITERAL", "orchestrator", "READ") in found
    ids = [acl for acl in found if acl.resource == "TransactionalId" and "orchestrator.".startswith(acl.name)]
    assert {acl.principal for acl in ids} == {"orchestrator"}


def test_only_a_replay_makes_topics() -> None:
    makers = {acl.principal for acl in rights(Settings()) if acl.operation == "CREATE"}
    assert makers == {"replay"}


def test_an_actor_sees_how_far_the_learner_is_and_the_learner_which_version_was_published() -> None:
    found = rights(Settings())
    assert Acl("actor", "Group", "PREFIXED", "rl.learner/", "DESCRIBE") in found
    assert not any(acl.principal == "actor" and "rl.learner" in acl.name and acl.operation == "WRITE" for acl in found)
    assert Acl("learner", "Topic", "LITERAL", "rl.policies", "READ") in found


def breakout() -> AgentPool:
    pool = AgentPool("breakout", role="alpha")

    @pool.on
    def decide(bar: Bar, run: ActiveRun) -> Iterator[Signal | None]:
        yield None

    @pool.step("describe")
    def describe(parameters: dict[str, object]) -> dict[str, object]:
        return {}

    return pool


def test_a_custom_pool_gets_what_its_role_handlers_and_steps_need() -> None:
    found = of("breakout", breakout())
    assert found.writes == {
        "signals",
        "results",
        "history",
        "schemas",
        "breakout.changelog",
        "breakout.steps.changelog",
        *map(dead_letters, ("bars", "ticks", "strategies", "steps", "instruments")),
    }
    assert {"bars", "ticks", "strategies", "steps", "instruments"} < found.reads
    assert (found.groups, found.tasks) == (("breakout", "breakout.steps"), ("breakout.", "breakout.steps."))


def test_a_pool_without_a_role_gets_what_its_annotations_say_but_never_another_role_s_topic() -> None:
    pool = AgentPool("watcher")

    @pool.on
    def watch(block: TickBlock) -> Signal | OrderDenied | None:
        return None

    found = of("watcher", pool)
    assert "signals" in found.writes
    assert "risk" not in found.writes


@pytest.mark.parametrize("name", ["feed", "alpha.mine", "admin", "a b"])
def test_a_pool_that_cannot_have_a_user_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot have a user of its own"):
        components(Settings(), [AgentPool(name)])


def test_the_prefix_stands_before_every_name() -> None:
    plain, prefixed = rights(Settings()), rights(Settings.from_dict({"kafka": {"prefix": "mine."}}))
    assert [acl.name for acl in prefixed] == ["mine." + acl.name.removeprefix("*") for acl in plain]
    assert Acl("alpha", "Topic", "LITERAL", "mine.signals", "WRITE") in prefixed
    assert Acl("alpha", "Topic", "PREFIXED", "mine.", "DESCRIBE") in prefixed


def test_the_command_prints_them_for_machines_and_for_kafka_s_own_tool(run: Run) -> None:
    listed = json.loads(run("broker", "acls", "--json").out)
    assert [Acl(**each) for each in listed] == rights(Settings())
    lines = run("broker", "acls", "--commands").out.splitlines()
    assert len(lines) == len(listed)
    wanted = "--add --allow-principal User:risk --operation Write --topic orders --resource-pattern-type literal"
    assert wanted in lines


def table() -> str:
    """Return the table of docs/security.md as the code has it."""
    rows = [f"| `{each.name}` | {_short(each.reads)} | {_short(each.writes)} |" for each in components(Settings())]
    return "\n".join(["| user | reads | writes |", "|---|---|---|", *rows])


def _short(topics: frozenset[str]) -> str:
    """Return topics without what the text says of all components."""
    named = {name for name in topics if not name.endswith((".dlq", ".changelog")) and name != "schemas"}
    return "every topic" if named == set(TOPICS) else ", ".join(sorted(named)) or "-"


def test_the_document_shows_the_rights_that_the_code_gives() -> None:
    assert table() in DOC.read_text(), f"docs/security.md should hold:\n{table()}"


def test_acls_of_a_component_hold_nothing_twice() -> None:
    found = acls(components(Settings()))
    assert len(found) == len(set(found))
