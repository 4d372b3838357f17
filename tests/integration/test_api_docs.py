"""Every command of docs/api.md, against a server, in the order in which they stand there."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from infra.server.app import create_app
from orchestrator.facade import FinAgentOrchestrator
from orchestrator.settings import Settings
from tests.server import half_year, served, settings_in, until

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
ADDRESS = "http://127.0.0.1:9000"
WAITS = {
    "/strategies/my_first_strategy": lambda each: each["status"] == "completed",
    "/strategies/rotation": lambda each: each["status"] == "active",
    "/workflows/multi_agent_example": lambda each: each["status"] == "completed",
    "/backtest/momentum_2012": lambda each: each["status"] == "completed",
}
"""What the next command rests on."""


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", DOCS.read_text(), re.DOTALL)
    text = "\n".join(block for block in blocks if block.startswith("curl"))
    return [f"curl{each}".strip() for each in re.split(r"(?m)^curl", text)[1:]]


async def run(command: str) -> str:
    process = await asyncio.create_subprocess_shell(
        f"{command} --max-time 60 --fail-with-body", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, wrong = await process.communicate()
    assert process.returncode == 0, f"{command}\n{said.decode()}{wrong.decode()}"
    return said.decode()


async def test_every_command_of_the_documentation_works(tmp_path: Path) -> None:
    found = commands()
    assert len(found) > 25
    async with served(settings_in(tmp_path), feed=half_year()) as client:
        for command in found:
            said = await run(command.replace(ADDRESS, str(client.base_url).rstrip("/")))
            path = re.search(rf"{ADDRESS}(\S*?)['\s]", command + " ")
            assert path is not None
            if path.group(1) != "/metrics":
                json.loads(said)
            if path.group(1) in WAITS and "-X" not in command:
                await until(client, path.group(1), WAITS[path.group(1)])
            if path.group(1) == "/strategies/rotation" and "-X" not in command:
                await until(client, "/fills", lambda page: page["items"])


def test_every_route_is_documented() -> None:
    text, app = DOCS.read_text(), create_app(FinAgentOrchestrator(settings=Settings()))
    for path in app.openapi()["paths"]:
        assert re.sub(r"/{.*", "", path) in text, path
