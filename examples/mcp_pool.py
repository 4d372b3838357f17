"""A pool that is an MCP server, in a process of its own: `python examples/mcp_pool.py`.

Its tools become actions of workflow steps. Name it in the settings,

    agent_pools:
      custom_agent_pool:
        url: http://localhost:8005

or register it: `orchestrator.register_agent_pool(pool_name="custom_agent_pool", endpoint_url="http://localhost:8005")`.
examples/mcp_workflow.yaml is a workflow that uses it.
"""

from agents.mcp.server import FastMCP


class CustomAgentPool:
    """Looks at what the steps before it found."""

    def __init__(self) -> None:
        self.mcp = FastMCP("CustomAgentPool")
        self._register_tools()

    def _register_tools(self) -> None:
        @self.mcp.tool()
        def custom_analysis(data: dict) -> dict:
            """Return the highest close of each instrument among the bars that were fetched."""
            highest = {name: max(columns["close"]) for name, columns in data.get("bars", {}).items()}
            return {"result": "analysis_complete", "highest_close": highest}

    def run(self, port: int = 8005) -> None:
        """Serve until interrupted."""
        self.mcp.run(host="localhost", port=port)


if __name__ == "__main__":
    import sys

    CustomAgentPool().run(*map(int, sys.argv[1:]))
