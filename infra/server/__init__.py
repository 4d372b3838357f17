"""The server: REST API, live events and dashboard in front of an orchestrator."""
