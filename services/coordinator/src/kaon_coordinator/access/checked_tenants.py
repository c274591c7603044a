"""What an administrator may say of a tenant."""

from __future__ import annotations

import re

from kaon_coordinator.problems import InvalidRequest, Problem
from kaon_coordinator.store.records import TenantRecord
from kaon_service.principal import is_tenant

# What Kafka takes as a name.
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")
_MOST_TOPICS = 100


def check(tenant: TenantRecord) -> None:
    """Check a tenant that is to be made or changed.

    Raises:
        InvalidRequest: The error names all problems.
    """
    problems = []
    if not is_tenant(tenant.name):
        text = f"name {tenant.name!r}: use 1 to 63 lower-case letters, digits and hyphens"
        problems.append(Problem(field="tenant.name", text=text))
    if len(tenant.topics) > _MOST_TOPICS:
        text = f"{len(tenant.topics)} topics: a tenant reads at most {_MOST_TOPICS}"
        problems.append(Problem(field="tenant.topics", text=text))
    for topic in tenant.topics:
        if not _TOPIC.match(topic):
            text = f"topic {topic!r}: use 1 to 249 letters, digits, dots, underscores and hyphens"
            problems.append(Problem(field="tenant.topics", text=text))
    if problems:
        raise InvalidRequest("tenant", problems)
