"""Name what can go wrong with a local service."""

from streams.errors import ServiceError

__all__ = ["ServiceError"]
