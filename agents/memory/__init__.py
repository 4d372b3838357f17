"""Shared memory: a projection of the log into the store."""
