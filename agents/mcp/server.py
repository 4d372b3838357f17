"""The server that a pool of one's own is written with, outside this project's processes.

from agents.mcp.server import FastMCP

mcp = FastMCP("CustomAgentPool")

@mcp.tool()
def custom_analysis(data: dict) -> dict: ...

mcp.run(host="localhost", port=8005)
"""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

__all__ = ["FastMCP", "ToolError"]


class FastMCP(MCPServer):
    """An MCP server whose run serves over HTTP where it is given a port."""

    def run(self, transport: Any = None, *, host: str = "127.0.0.1", port: int | None = None, **options: Any) -> None:
        """Serve until interrupted: streamable HTTP at http://host:port/mcp, or stdio where no port is given.

        MCPServer.run takes a host and port without a word and serves stdio all the same.
        """
        if port is not None:
            options = {"host": host, "port": port, **options}
        super().run(transport or ("stdio" if port is None else "streamable-http"), **options)
