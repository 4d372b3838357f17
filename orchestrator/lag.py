"""Lag: how many offsets each task is behind the end of its inputs, from its own report and the broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.broker import Broker
from streams.record import TopicPartition

Lag = Mapping[TopicPartition, int]


async def lags(broker: Broker, reports: Sequence[Mapping[str, Any]]) -> dict[str, Lag]:
    """Return the lag of each task by input partition; transaction markers take offsets and count."""
    positions = {str(each["task"]): _places(each.get("positions", {})) for each in reports}
    told = {
        str(each["task"]): {place: max(count, 0) for place, count in _places(each["lag"]).items()}
        for each in reports
        if "lag" in each
    }
    known = await broker.topics()
    used = {place for of_task in positions.values() for place in of_task}
    places = [place for place in sorted(used) if place.partition < known.get(place.topic, 0)]
    ends = await broker.ends(places) if places else {}
    return {
        task: told.get(task) or {place: max(ends[place] - at, 0) for place, at in of_task.items() if place in ends}
        for task, of_task in positions.items()
    }


def _places(offsets: Mapping[str, int]) -> dict[TopicPartition, int]:
    found = {}
    for name, offset in offsets.items():
        topic, _, partition = name.rpartition(":")
        found[TopicPartition(topic, int(partition))] = int(offset)
    return found
