"""The partitions of a group's member, and their changes by a rebalance. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from kaon_coordinator.transport.base import GROUP_TOPICS, TopicPartition
from kaon_wire.errors import KaonError

# Topics whose partitions of equal number must belong to the same member.
COPARTITIONED = (GROUP_TOPICS[:3], GROUP_TOPICS[3:])


class NotCopartitioned(KaonError):
    """Copartitioned partitions were assigned to different members, or have different counts."""


def by_topic(partitions: Iterable[TopicPartition]) -> list[tuple[str, tuple[int, ...]]]:
    """Return the partitions of each topic, ascending; topics in the order in which a handler is told of them."""
    found: dict[str, list[int]] = defaultdict(list)
    for topic, partition in partitions:
        found[topic].append(partition)
    return [(topic, tuple(sorted(found[topic]))) for topic in GROUP_TOPICS if topic in found]


def check_assignment(partitions: Iterable[TopicPartition]) -> None:
    """Check that one member was assigned the same partitions of all copartitioned topics.

    Raises:
        NotCopartitioned: The assignment differs between topics; the message names them.
    """
    owned = {topic: frozenset(numbers) for topic, numbers in by_topic(partitions)}
    for group in COPARTITIONED:
        if len({owned.get(topic, frozenset()) for topic in group}) > 1:
            shown = ", ".join(f"{topic}: {sorted(owned.get(topic, ()))}" for topic in group)
            raise NotCopartitioned(
                f"this member was given partitions that do not belong together: {shown}"
            )


def check_counts(counts: Mapping[str, int]) -> None:
    """Check that copartitioned topics have the same number of partitions.

    Raises:
        NotCopartitioned: The numbers differ; the message names them.
    """
    for group in COPARTITIONED:
        if len({counts[topic] for topic in group}) > 1:
            shown = ", ".join(f"{topic} has {counts[topic]}" for topic in group)
            raise NotCopartitioned(f"these topics must have the same number of partitions: {shown}")


def share(partitions: Sequence[int], members: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Distribute partitions evenly among members."""
    return {
        member: tuple(number for number in partitions if number % len(members) == index)
        for index, member in enumerate(members)
    }
