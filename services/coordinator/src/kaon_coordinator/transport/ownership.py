"""Which partitions a member of the group owns, and what changes with a rebalance. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from kaon_coordinator.transport.base import GROUP_TOPICS, TopicPartition
from kaon_wire.errors import KaonError

# Topics whose partitions of the same number must belong to the same member.
COPARTITIONED = (GROUP_TOPICS[:3], GROUP_TOPICS[3:])


class NotCopartitioned(KaonError):
    """Partitions that belong together were given to different members, or have different counts."""


def by_topic(partitions: Iterable[TopicPartition]) -> list[tuple[str, tuple[int, ...]]]:
    """The partitions of each topic, ascending; topics in the order in which a handler hears of them."""
    found: dict[str, list[int]] = defaultdict(list)
    for topic, partition in partitions:
        found[topic].append(partition)
    return [(topic, tuple(sorted(found[topic]))) for topic in GROUP_TOPICS if topic in found]


def check_assignment(partitions: Iterable[TopicPartition]) -> None:
    """Checks that one member was given the same partitions of all topics that belong together.

    Raises:
        NotCopartitioned: it was not; the message says of which topics.
    """
    owned = {topic: frozenset(numbers) for topic, numbers in by_topic(partitions)}
    for group in COPARTITIONED:
        if len({owned.get(topic, frozenset()) for topic in group}) > 1:
            shown = ", ".join(f"{topic}: {sorted(owned.get(topic, ()))}" for topic in group)
            raise NotCopartitioned(f"this member was given partitions that do not belong together: {shown}")


def check_counts(counts: Mapping[str, int]) -> None:
    """Checks that topics that belong together have the same number of partitions.

    Raises:
        NotCopartitioned: they have not; the message says which.
    """
    for group in COPARTITIONED:
        if len({counts[topic] for topic in group}) > 1:
            shown = ", ".join(f"{topic} has {counts[topic]}" for topic in group)
            raise NotCopartitioned(f"these topics must have the same number of partitions: {shown}")


def share(partitions: Sequence[int], members: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Deals partitions out to members, evenly."""
    return {
        member: tuple(number for number in partitions if number % len(members) == index)
        for index, member in enumerate(members)
    }
