"""What a coordinator can be told, by environment variables."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from kaon_wire import topics
from kaon_wire.errors import InvalidValue


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one coordinator. Each field's variable is named beside it."""

    # KAON_KAFKA: host:port of brokers, separated by commas.
    kafka: str = "127.0.0.1:9092"
    # KAON_DATABASE: an SQLAlchemy URL; sqlite:///FILE or postgresql+psycopg://...
    database: str = "sqlite:///kaon.db"
    # KAON_ADDRESS: where the gRPC API listens.
    address: str = "127.0.0.1:7070"
    # KAON_ARTIFACTS: where artifacts and code bundles are kept, as an fsspec URL.
    artifacts: str = "file:///var/lib/kaon/artifacts"
    # KAON_SCRATCH: where steps have their scratch space; empty: runners keep it to themselves, and nothing is removed here.
    scratch: str = ""
    # KAON_DURABILITY: "synchronous" (every commit reaches the disk) or "relaxed".
    durability: str = "synchronous"
    # KAON_OWNER: name of this process; unique among the coordinators.
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    # KAON_LEASE_SECONDS: how long a runner may be silent.
    lease_seconds: float = 10.0
    # KAON_RUN_PARTITIONS, KAON_POOL_PARTITIONS, KAON_RUNNER_PARTITIONS, KAON_POOLS, KAON_REPLICATION: the topics.
    catalogue: topics.Catalogue = field(default_factory=topics.Catalogue)


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The settings that the environment gives; what it does not mention has its default.

    Raises:
        InvalidValue: a variable has no usable value; the message names it.
    """
    default = Settings()
    durability = environment.get("KAON_DURABILITY", default.durability)
    if durability not in {"synchronous", "relaxed"}:
        raise InvalidValue(f"KAON_DURABILITY: {durability!r} is neither 'synchronous' nor 'relaxed'")
    return Settings(
        kafka=environment.get("KAON_KAFKA", default.kafka),
        database=environment.get("KAON_DATABASE", default.database),
        address=environment.get("KAON_ADDRESS", default.address),
        artifacts=environment.get("KAON_ARTIFACTS", default.artifacts),
        scratch=environment.get("KAON_SCRATCH", default.scratch),
        durability=durability,
        owner=environment.get("KAON_OWNER", default.owner),
        lease_seconds=_number(environment, "KAON_LEASE_SECONDS", default.lease_seconds),
        catalogue=catalogue_from(environment),
    )


def catalogue_from(environment: Mapping[str, str]) -> topics.Catalogue:
    """The topics that the environment describes; the same variables must be given to every service."""
    default = topics.Catalogue()
    pools = environment.get("KAON_POOLS", "")
    return topics.Catalogue(
        run_partitions=int(_number(environment, "KAON_RUN_PARTITIONS", default.run_partitions)),
        pool_partitions=int(_number(environment, "KAON_POOL_PARTITIONS", default.pool_partitions)),
        runner_partitions=int(_number(environment, "KAON_RUNNER_PARTITIONS", default.runner_partitions)),
        pools=tuple(pool.strip() for pool in pools.split(",") if pool.strip()) or default.pools,
        replication_factor=int(_number(environment, "KAON_REPLICATION", default.replication_factor)),
    )


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        raise InvalidValue(f"{name}: {text!r} is not a number") from None
    if number <= 0:
        raise InvalidValue(f"{name}: {text!r} must be more than 0")
    return number
