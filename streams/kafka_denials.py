"""What Kafka denies a client, in words that say what was tried on what."""

from __future__ import annotations

from aiokafka import errors as kafka_errors

from streams.errors import SecurityError

_WHAT = {
    kafka_errors.TopicAuthorizationFailedError: ("topic", ""),
    kafka_errors.GroupAuthorizationFailedError: ("group", "READ"),
    kafka_errors.TransactionalIdAuthorizationFailed: ("transactional id", "WRITE"),
    kafka_errors.ClusterAuthorizationFailedError: ("cluster", "ALTER"),
}
"""What each denial is about, and the operation that it denies where there is but one."""
DENIED = tuple(_WHAT)


def denied(error: BaseException, operation: str = "a right") -> SecurityError:
    """Return the project's error for one of DENIED; operation: what was tried on a topic."""
    what, only = next(about for kind, about in _WHAT.items() if isinstance(error, kind))
    return SecurityError(
        f"Kafka denies {only or operation} on {' '.join(filter(None, (what, _named(error))))} to this client: check "
        "FINAGENT_KAFKA_USERNAME, and its rights against what `finagent broker acls` lists"
    )


def denial_in(error: BaseException | None) -> BaseException | None:
    """Return the denial that led to an error, if one did."""
    while error is not None and not isinstance(error, DENIED):
        error = error.__cause__
    return error


def _named(error: BaseException) -> str:
    named = error.args[0] if error.args else ""
    if isinstance(named, set | frozenset | list | tuple):
        return ", ".join(sorted(map(str, named)))
    # Of groups the client library makes a sentence that ends with the name.
    return str(named).rpartition(" ")[2]
