"""The rights of each component on a Kafka cluster, no more than it needs: as Kafka's own access control lists."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from infra.security.components import Component

Resource = Literal["Topic", "Group", "TransactionalId"]
Pattern = Literal["LITERAL", "PREFIXED"]
Operation = Literal["READ", "WRITE", "CREATE", "DESCRIBE"]
_OPTIONS = {"Topic": "--topic", "Group": "--group", "TransactionalId": "--transactional-id"}


class Acl(NamedTuple):
    """One right of one user."""

    principal: str
    """Without the type, which is User."""
    resource: Resource
    pattern: Pattern
    name: str
    operation: Operation

    def command(self) -> str:
        """Return the options of Kafka's own tool kafka-acls that grant it."""
        parts = ["--add", "--allow-principal", f"User:{self.principal}", "--operation", self.operation.capitalize()]
        parts += [_OPTIONS[self.resource], self.name, "--resource-pattern-type", self.pattern.lower()]
        return shlex.join(parts)


def acls(components: Sequence[Component], prefix: str = "") -> list[Acl]:
    """Return the rights of components whose topics, groups and transactional ids have the prefix."""
    return [acl for component in components for acl in dict.fromkeys(_rights(component, prefix))]


def _rights(component: Component, prefix: str) -> Iterator[Acl]:
    user = component.name
    # Every program sees that the topics of the whole system are there, with their partitions; no record.
    yield _on_all_topics(user, prefix)
    for name in sorted(component.reads):
        yield Acl(user, "Topic", "LITERAL", prefix + name, "READ")
    for name in sorted(component.writes):
        yield Acl(user, "Topic", "LITERAL", prefix + name, "WRITE")
    for name in component.makes:
        for operation in ("CREATE", "READ", "WRITE"):
            yield Acl(user, "Topic", "PREFIXED", prefix + name, operation)
    for name in component.groups:
        yield Acl(user, "Group", "LITERAL", prefix + name, "READ")
    for name in component.transactions:
        yield Acl(user, "TransactionalId", "LITERAL", prefix + name, "WRITE")
    for name in component.tasks:
        yield Acl(user, "Group", "PREFIXED", prefix + name, "READ")
        yield Acl(user, "TransactionalId", "PREFIXED", prefix + name, "WRITE")
    for name in component.watches:
        yield Acl(user, "Group", "PREFIXED", prefix + name, "DESCRIBE")


def _on_all_topics(user: str, prefix: str) -> Acl:
    if prefix:
        return Acl(user, "Topic", "PREFIXED", prefix, "DESCRIBE")
    return Acl(user, "Topic", "LITERAL", "*", "DESCRIBE")
