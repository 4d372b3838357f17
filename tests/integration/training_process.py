"""A learner or an actor as a process of its own, to be killed.

python -m tests.integration.training_process learner|actor PREFIX FOLDER; tells each commit of the learner in a line:
transitions and the SHA-256 of the rows so far, whose first all stay in the buffer.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from rl.learner import Learner
from rl.learner_state import Plan
from rl.learning import OffPolicyLearning
from rl.streaming import Streaming
from rl.training import Progress
from streams.kafka_broker import KafkaBroker, KafkaOptions
from tests.services import KAFKA_VARIABLE
from tests.training import plan, world

STREAMING = Streaming(chunk_transitions=20, chunks_ahead=2, publish_every=10, checkpoint_every_s=0.5)
PLAN: Plan = plan(streaming=STREAMING, steps=100_000, config={"buffer_size": 200_000, "update_to_data": 0.5})


def prefix_digest(learner: Learner, transitions: int) -> str:
    """Return the SHA-256 of the first rows of a learner's buffer."""
    assert isinstance(learner.state.learning, OffPolicyLearning)
    return hashlib.sha256(learner.state.learning.replay.rows[:transitions].tobytes()).hexdigest()


async def main(role: str, prefix: str, folder: str) -> None:
    """Run until killed."""
    broker = KafkaBroker(KafkaOptions(os.environ[KAFKA_VARIABLE], prefix=prefix))
    await broker.start()
    async with world(broker, Path(folder)) as found:
        if role == "actor":
            await found.actor(PLAN).run(asyncio.Event())
        learner = found.learner(PLAN, resume=True)

        def told(progress: Progress) -> None:
            print(progress.steps, prefix_digest(learner, progress.steps), flush=True)

        learner.on_progress = told
        await learner.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
