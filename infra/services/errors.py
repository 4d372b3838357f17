"""Name what can go wrong with a local service."""


class ServiceError(RuntimeError):
    """Say in one line why a local Kafka or Redis cannot be had, and what to do about it."""
