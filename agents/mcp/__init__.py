"""Pools that are MCP servers, and the server class that such a pool is written with."""
