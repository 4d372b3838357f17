"""A short load at the real server on a real Kafka: nothing is lost, everything ends once. Speed is no matter here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.performance.load import run

RATE, SECONDS, ROOM = 60, 4, 8


@pytest.mark.kafka
@pytest.mark.timeout(300)
async def test_what_is_accepted_ends_once_and_the_rest_is_refused(kafka_bootstrap: str, tmp_path: Path) -> None:
    room = {
        "FINAGENT_ORCHESTRATOR__MAX_CONCURRENT_TASKS": str(ROOM),
        # Forgetting goes on while they come in, and loses none of them.
        "FINAGENT_ORCHESTRATOR__MAX_ENDED_WORKFLOWS": "5",
    }
    result = await run(kafka_bootstrap, RATE, SECONDS, tmp_path, room)
    assert result["submitted"] == RATE * SECONDS
    assert set(result["answers"]) <= {"202", "429"}
    assert result["answers"]["202"] == result["accepted"] >= ROOM
    assert result["outcomes"] == {"completed": result["accepted"]}
    assert (result["lost"], result["ended_twice"]) == (0, 0)
    assert [what for what in result["broken"] if "/s accepted" not in what] == []
