"""Sharing partitions: even, whole, and with as few moves as an even share allows."""

from itertools import combinations

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.protocol.metadata import MetadataResponse_v0
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka_groups import Sharing
from streams.sharing import shares


@given(st.integers(0, 12), st.lists(st.integers(-1, 4), min_size=12, max_size=12), st.integers(1, 5))
def test_shares_are_even_and_whole_and_move_no_more_than_they_must(
    partitions: int, owners: list[int], members: int
) -> None:
    owned = {f"m{member}": [each for each in range(12) if owners[each] == member] for member in range(members)}
    found = shares(range(partitions), owned)
    assert sorted(each for share in found.values() for each in share) == list(range(partitions))
    sizes = sorted(map(len, found.values()))
    assert sizes[-1] - sizes[0] <= 1
    kept = sum(len(share.intersection(owned[member])) for member, share in found.items())
    # Whoever is given the larger shares, nobody can keep more than these.
    size, extra = divmod(partitions, members)
    present = {member: sum(each < partitions for each in places) for member, places in owned.items()}
    best = max(
        sum(min(count, size + (member in larger)) for member, count in present.items())
        for larger in combinations(present, extra)
    )
    assert kept == best


def cluster(partitions: int) -> ClusterMetadata:
    known = ClusterMetadata()
    topic = (0, "alpha.changelog", [(0, number, 0, [0], [0]) for number in range(partitions)])
    known.update_metadata(MetadataResponse_v0([(0, "localhost", 9092)], [topic]))
    return known


def assigned(assignment: ConsumerProtocolMemberAssignment) -> set[int]:
    return {place.partition for place in assignment.partitions()}


def on_the_wire(assignment: ConsumerProtocolMemberAssignment) -> ConsumerProtocolMemberAssignment:
    return ConsumerProtocolMemberAssignment.decode(assignment.encode())


def test_members_tell_what_they_own_and_the_latest_word_counts() -> None:
    one, other, stale = Sharing(), Sharing(), Sharing()
    topics = ["alpha.changelog"]
    first = one.assign(cluster(4), {"one": one.metadata(topics), "stale": stale.metadata(topics)})
    one.on_assignment(on_the_wire(first["one"]))
    stale.on_assignment(on_the_wire(first["stale"]))
    lost = assigned(first["stale"])
    second = one.assign(cluster(4), {"one": one.metadata(topics), "other": other.metadata(topics)})
    assert assigned(second["one"]) == assigned(first["one"])
    assert assigned(second["other"]) == lost
    one.on_assignment(on_the_wire(second["one"]))
    other.on_assignment(on_the_wire(second["other"]))
    third = one.assign(
        cluster(5), {name: each.metadata(topics) for name, each in {"a": stale, "one": one, "two": other}.items()}
    )
    assert assigned(third["a"]) == {4}, "what it says that it owns has gone to another since"
    assert assigned(third["one"]) == assigned(first["one"])
    assert assigned(third["two"]) == lost


@pytest.mark.parametrize("leader", ["earlier", "present"])
def test_a_group_may_have_members_of_earlier_releases(leader: str) -> None:
    present, topics = Sharing(), ["alpha.changelog"]
    members = {"earlier": RangePartitionAssignor.metadata(topics), "present": present.metadata(topics)}
    assert present.name == RangePartitionAssignor.name
    found = (present if leader == "present" else RangePartitionAssignor).assign(cluster(4), members)
    shares_ = {member: assigned(on_the_wire(each)) for member, each in found.items()}
    assert {len(share) for share in shares_.values()} == {2}
    assert shares_["earlier"] | shares_["present"] == set(range(4))
    present.on_assignment(on_the_wire(found["present"]))
    again = present.assign(cluster(4), {"present": present.metadata(topics)})
    assert assigned(again["present"]) == set(range(4))
