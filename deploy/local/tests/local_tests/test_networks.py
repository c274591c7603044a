"""Containers share networks with those that they need, and with no others: told from the files, without a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_local.secure.containers import OVERRIDE

from .composed import services

BROKERS = {"kafka", "kafka-2", "kafka-3"}
STORES = {"hdfs-namenode", "hdfs-datanode", "object-store"}
STEPS = BROKERS | STORES | {"model-publisher"}
DATABASE = {"coordinator", "view", "model-publisher"}


def reached(overrides: tuple[Path, ...], service: str) -> set[str]:
    """The services that share a network with one."""
    found = services(*overrides)
    own = set(found[service]["networks"])
    return {name for name, each in found.items() if own & set(each["networks"])} - {service}


@pytest.mark.parametrize(
    ("overrides", "service", "others"),
    [
        ((), "step-runner", STEPS | {"sql-server"}),
        ((OVERRIDE,), "step-runner", STEPS | {"sql-gateway"}),
        ((OVERRIDE,), "sql-server", {"hdfs-namenode", "hdfs-datanode", "sql-gateway"}),
        ((), "postgres", DATABASE),
        ((OVERRIDE,), "postgres", DATABASE | {"database", "database-models"}),
        ((), "consumer", {"registry", "model-publisher"}),
        ((OVERRIDE,), "consumer", {"registry", "model-publisher"}),
        ((OVERRIDE,), "registry-push", {"model-publisher"}),
    ],
    ids=lambda each: "closed" if each == (OVERRIDE,) else "open" if each == () else None,
)
def test_a_container_reaches_those_that_it_needs_and_no_others(
    overrides: tuple[Path, ...], service: str, others: set[str]
) -> None:
    assert reached(overrides, service) == others
