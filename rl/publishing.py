"""A policy's file as the message that lets it decide for runs."""

from __future__ import annotations

from rl.serving import ServedPolicy
from rl.weights import sha256
from schemas import PolicyPublished
from schemas.policies import SERVING
from streams.errors import InvalidData

MAX_BYTES = 700_000
"""Of a policy's file: pools keep it in a record of their changelog, where it takes a third more."""


def publication(data: bytes, policy_id: str, version: int, ts: int, digest: str | None = None) -> PolicyPublished:
    """Return the message for a policy's file; digest: the SHA-256 that it must have, ts: ns UTC.

    Raises InvalidData where the file was changed, is foreign, too large, or cannot serve.
    """
    served = ServedPolicy.read(data, digest)
    if len(data) > MAX_BYTES:
        raise InvalidData(
            f"the policy has {len(data):,} bytes, at most {MAX_BYTES:,} can be served: use a smaller net_arch"
        )
    told = {name: value for name, value in served.metadata.items() if name != "serving"}
    return PolicyPublished(
        policy_id=policy_id,
        version=version,
        algorithm=str(served.policy.algorithm),
        training_id=str(served.metadata.get("training_id", policy_id)),
        weights=data,
        sha256=sha256(data),
        metadata={**told, "instruments": list(served.serving.instruments), SERVING: True},
        ts_event=ts,
    )
