"""The orchestrator's tools for any MCP client."""
