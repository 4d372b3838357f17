"""Who of a group's members takes which partitions."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def shares(partitions: Collection[int], owned: Mapping[str, Collection[int]]) -> dict[str, frozenset[int]]:
    """Share partitions evenly among the members of `owned`, each of which keeps as much of its own as is even.

    No partition may be owned twice. The same members with the same partitions always come to the same.
    """
    size, extra = divmod(len(partitions), len(owned))
    # Those who own most may have one more than the others.
    present = {member: sorted(set(places).intersection(partitions)) for member, places in owned.items()}
    members = sorted(present, key=lambda member: (-len(present[member]), member))
    rooms = {member: size + (rank < extra) for rank, member in enumerate(members)}
    kept = {member: present[member][: rooms[member]] for member in members}
    free = iter(sorted(set(partitions).difference(*kept.values())))
    return {
        member: frozenset([*kept[member], *(next(free) for _ in range(rooms[member] - len(kept[member])))])
        for member in members
    }
