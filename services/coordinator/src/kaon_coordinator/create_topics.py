"""`python -m kaon_coordinator.create_topics`: creates missing topics and rights, and exits.

Start it before coordinators and runners, with an account that may do so. It takes the coordinator's settings and
KAON_MIN_ISR, the number of copies that must have a record before it is acknowledged. Where KAON_KAFKA_SECURITY is not
PLAINTEXT it also grants each account the least that it needs; KAON_KAFKA_PRINCIPALS says how Kafka names the accounts, by
default `User:kaon-{account}`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    NewTopic,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import KafkaError

from kaon_coordinator.settings import settings_from
from kaon_service.kafka_security import OPEN, KafkaSecurity, Protocol
from kaon_wire import topics
from kaon_wire.errors import InvalidValue, KaonError, Unavailable
from kaon_wire.topic_rights import Right, rights_of

# How long brokers may take to start.
PATIENCE_SECONDS = 60.0
PRINCIPALS = "User:kaon-{account}"
_PAUSE_SECONDS = 0.5
_ANSWER_MS = 10_000


def create_topics(
    kafka: str, catalogue: topics.Catalogue, min_insync: int, security: KafkaSecurity = OPEN
) -> list[str]:
    """Create missing topics and return their names; existing topics stay unchanged.

    Raises:
        Unavailable: No broker answers, or there are fewer brokers than copies.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with _admin(kafka, security) as admin:
                return _create(admin, catalogue, min_insync)
        except KafkaError as error:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the brokers at {kafka} cannot create topics: {error!r}"
                ) from error
            # A broker does not announce that it is ready, nor somebody else that he creates the same topics.
            time.sleep(_PAUSE_SECONDS)


def grant_rights(
    kafka: str, catalogue: topics.Catalogue, principals: str, security: KafkaSecurity
) -> int:
    """Grant all accounts their rights, and return how many; those that are granted already stay.

    Args:
        kafka: host:port of brokers, separated by commas.
        catalogue: The deployment's topics.
        principals: How Kafka names an account, with {account} in it.
        security: An account that may alter the cluster.

    Raises:
        Unavailable: The brokers refuse, or have no authorizer.
    """
    acls = [_acl(right, principals) for right in rights_of(catalogue)]
    try:
        with _admin(kafka, security) as admin:
            answer = admin.create_acls(acls)
    except KafkaError as error:
        raise Unavailable(f"the brokers at {kafka} grant no rights: {error!r}") from error
    if answer["failed"]:
        refusal = answer["failed"][0]
        raise Unavailable(f"the brokers at {kafka} grant no rights: {refusal.__name__}")
    return len(acls)


@contextmanager
def _admin(kafka: str, security: KafkaSecurity) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(
        bootstrap_servers=kafka.split(","), request_timeout_ms=_ANSWER_MS, **security.arguments
    )
    try:
        yield admin
    finally:
        admin.close()


def _create(admin: KafkaAdminClient, catalogue: topics.Catalogue, min_insync: int) -> list[str]:
    known = set(admin.list_topics())
    missing = [topic for topic in catalogue.topics() if topic.name not in known]
    new = [_new(topic, catalogue.replication_factor, min_insync) for topic in missing]
    if new:
        admin.create_topics(new)
    return [topic.name for topic in missing]


def _new(topic: topics.Topic, copies: int, min_insync: int) -> NewTopic:
    config = {**topic.config, "min.insync.replicas": str(min_insync)}
    return NewTopic(topic.name, topic.partitions, copies, topic_configs=config)


def _acl(right: Right, principals: str) -> ACL:
    return ACL(
        principal=principals.replace("{account}", right.account),
        host="*",
        operation=ACLOperation[right.operation],
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePattern(ResourceType[right.resource], right.name),
    )


def main() -> int:
    """Create the topics. Exit codes: 0 all topics exist, 1 creation failed, 2 invalid settings."""
    try:
        settings = settings_from(os.environ)
        min_insync = int(os.environ.get("KAON_MIN_ISR", "1"))
        principals = os.environ.get("KAON_KAFKA_PRINCIPALS", PRINCIPALS)
        if "{account}" not in principals:
            raise InvalidValue(f"KAON_KAFKA_PRINCIPALS: {principals!r} has no {{account}} in it")
    except (KaonError, ValueError) as error:
        print(f"create_topics: {error}", file=sys.stderr)
        return 2
    kafka, catalogue, security = settings.kafka, settings.catalogue, settings.kafka_security
    granted = 0
    try:
        made = create_topics(kafka, catalogue, min_insync, security)
        if security.protocol is not Protocol.PLAINTEXT:
            granted = grant_rights(kafka, catalogue, principals, security)
    except KaonError as error:
        print(f"create_topics: {error}", file=sys.stderr)
        return 1
    print(
        f"{len(made)} topics created, {len(catalogue.topics()) - len(made)} existed, {granted} rights granted"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
