"""Checks of the notifications of a workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kaonapi.workflow.v1 import definition_pb2 as d

# Of one workflow.
MOST = 20
CHANNEL_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
CHANNEL_NAME_RULE = "lower-case letters, digits and hyphens, at most 63"


def notification_problems(definition: d.WorkflowDefinition) -> Iterator[str]:
    """Yield the problems of the notifications."""
    if len(definition.notifications) > MOST:
        yield f"notifications: there are {len(definition.notifications)}; a workflow may have {MOST}"
    for notification in definition.notifications:
        name = notification.channel
        if not CHANNEL_NAME.fullmatch(name):
            yield f"notifications: {name[:80]!r} is no name of a channel: {CHANNEL_NAME_RULE}"
        known = set(d.Occasion.values()) - {d.OCCASION_UNSPECIFIED}
        if not notification.on or not known.issuperset(notification.on):
            yield f"notifications: channel {name[:80]!r} needs occasions that exist"
        elif len(set(notification.on)) < len(notification.on):
            yield f"notifications: channel {name[:80]!r} has an occasion twice"
