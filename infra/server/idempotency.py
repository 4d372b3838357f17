"""Idempotency keys: the same request is done once, however often it is sent."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

from pydantic import BaseModel

from infra.server.problems import Refused
from schemas import canonical_json
from streams.ids import derive_id

KEPT = 10_000
"""Keys that are remembered; the ids that derive from them outlast that, and a restart."""


class Idempotency:
    """Remember for each route and key which request it came with."""

    def __init__(self) -> None:
        self._requests: OrderedDict[tuple[str, str], str] = OrderedDict()

    def check(self, route: str, key: str | None, body: BaseModel) -> None:
        """Raise Refused where the key came with another request."""
        if key is None:
            return
        said = hashlib.sha256(canonical_json(_plain(body)).encode()).hexdigest()
        known = self._requests.setdefault((route, key), said)
        if known != said:
            raise Refused(409, f"Idempotency-Key {key!r} was used for another request")
        self._requests.move_to_end((route, key))
        if len(self._requests) > KEPT:
            self._requests.popitem(last=False)

    def release(self, route: str, key: str | None) -> None:
        """Forget a key whose request was not done."""
        if key is not None:
            self._requests.pop((route, key), None)


def id_of(route: str, key: str) -> str:
    """Return what a request with this key makes is called."""
    return derive_id(key, "server", route)


def _plain(body: BaseModel) -> Any:
    return body.model_dump(mode="json")
