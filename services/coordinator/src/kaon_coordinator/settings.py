"""The coordinator's settings, from environment variables."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kaon_coordinator.engine.definition.limits import DEFAULT, Limits, limits_from
from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants, tenants_from
from kaon_coordinator.notifications.channels import Channels, read_channels
from kaon_coordinator.retention import Keep
from kaon_service.access.lease_file import read_lease_keys
from kaon_service.access.limits import tenant_file
from kaon_service.access.open_lines import closes_database
from kaon_service.call_settings import CallSettings, call_settings
from kaon_service.command_signatures import CommandSigner
from kaon_service.heartbeat_signatures import HeartbeatVerifier
from kaon_service.kafka_security import OPEN, KafkaSecurity
from kaon_telemetry.endpoint import metrics_token
from kaon_wire import topics
from kaon_wire.definitions.names import POOL_NAME, POOL_NAME_RULE
from kaon_wire.errors import InvalidValue
from kaon_wire.lease_tokens import LeaseKeys


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one coordinator. Each field's variable is named beside it."""

    # KAON_KAFKA: host:port of brokers, separated by commas.
    kafka: str = "127.0.0.1:9092"
    # KAON_KAFKA_SECURITY, KAON_KAFKA_CA, KAON_KAFKA_USER, KAON_KAFKA_PASSWORD_FILE, KAON_KAFKA_CERT, KAON_KAFKA_KEY: how to
    # connect to them (docs/lines.md).
    kafka_security: KafkaSecurity = OPEN
    # KAON_DATABASE: an SQLAlchemy URL; sqlite:///FILE or postgresql+psycopg://...
    database: str = "sqlite:///kaon.db"
    # KAON_ADDRESS: where the gRPC API listens.
    address: str = "127.0.0.1:7070"
    # KAON_ADVERTISED_ADDRESS: where other coordinators reach it; empty: KAON_ADDRESS with the bound port, and
    # the host's name in place of a wildcard.
    advertised_address: str = ""
    # KAON_API_ONLY: "on": this process answers the API and owns no partitions; it needs other coordinators, which do. Else "off".
    api_only: bool = False
    # KAON_TENANTS: a TOML or JSON file with weights and quotas (docs/scheduling.md); empty: all tenants are equal.
    tenants: Tenants = NO_LIMITS
    # KAON_ARTIFACTS: storage of artifacts and code bundles, as an fsspec URL.
    artifacts: str = "file:///var/lib/kaon/artifacts"
    # KAON_SCRATCH: scratch space of steps; empty: local to the runners, and nothing is removed here.
    scratch: str = ""
    # KAON_DURABILITY: "synchronous" (every commit reaches the disk) or "relaxed".
    durability: str = "synchronous"
    # KAON_OWNER: name of this process; unique among the coordinators.
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    # KAON_METRICS: host:port at which Prometheus reads metrics; empty: metrics are not served.
    metrics: str = ""
    # KAON_METRICS_TOKEN_FILE: a file with the token that reading them takes; "none": no token, although others reach the address.
    metrics_token: str = field(default="", repr=False)
    # What is recorded of calls, and how many of them are taken.
    calls: CallSettings = field(default_factory=CallSettings)
    # KAON_LEASE_SECONDS: how long a runner may be silent.
    lease_seconds: float = 10.0
    # KAON_LEASE_KEYS: a file with the keys of lease tokens, one in a line, the newest first; the same for all coordinators.
    # Empty: releases carry no token, and every report counts.
    # KAON_LEASE_TOKENS: "required" (reports without a valid token do not count) or "optional" (they are only counted, while a
    # system changes over to tokens).
    lease_keys: Callable[[], LeaseKeys] | None = None
    lease_tokens_required: bool = True
    # KAON_POOL_KEYS: a file with lines "POOL KEY", the keys by which runners prove to which pool they belong (docs/lines.md).
    # Empty: every heartbeat counts.
    heartbeats: HeartbeatVerifier | None = None
    # KAON_COMMAND_KEY: a PEM file with the Ed25519 key that signs commands to runners; empty: they are not signed.
    command_signer: CommandSigner | None = None
    # KAON_NOTIFICATIONS: a TOML file with the channels that workflows may notify (docs/notifications.md); empty: there are none.
    channels: Channels = field(default_factory=Channels)
    # KAON_LIMITS: bounds that keep one run from harming the others, such as "foreach_items=1000, iterations=50".
    limits: Limits = DEFAULT
    # KAON_RETENTION_DAYS: days for which ended runs are kept; 0: for ever.
    # KAON_LOG_RETENTION_DAYS: days for which the output of their steps is kept; 0: for ever.
    # KAON_ARTIFACT_RETENTION_DAYS: days for which unneeded artifacts are kept; 0: for ever.
    keep: Keep = field(default_factory=Keep)
    # KAON_RUN_PARTITIONS: partitions over which runs are spread, and the most coordinators that share the work. Never lower it.
    # KAON_POOL_PARTITIONS: partitions of the topics of pools.
    # KAON_RUNNER_PARTITIONS: partitions over which the runners of a pool are spread. Each runner reads all of one.
    # KAON_POOLS: names of the pools, separated by commas; empty: default.
    # KAON_REPLICATION: brokers that keep each record. Like the four above, it must be the same for all services.
    catalogue: topics.Catalogue = field(default_factory=topics.Catalogue)
    # How long after a run's end the last lines of its steps may come, in seconds. It follows from the transport.
    log_settle_seconds: float = 1.5

    @property
    def lines(self) -> Mapping[str, bool]:
        """Return whether each line to other services is closed, by its variable."""
        lines = {
            "KAON_KAFKA_SECURITY": self.kafka_security.is_closed,
            "KAON_LEASE_KEYS": self.lease_keys is not None,
            "KAON_POOL_KEYS": self.heartbeats is not None,
            "KAON_COMMAND_KEY": self.command_signer is not None,
            "KAON_DATABASE": closes_database(self.database),
        }
        if self.lease_keys is not None:
            lines["KAON_LEASE_TOKENS"] = self.lease_tokens_required
        return {**lines, **self.calls.lines}


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings from the environment; absent variables have their defaults.

    Raises:
        InvalidValue: A variable has an invalid value; the message names it.
    """
    default, path = Settings(), environment.get("KAON_TENANTS", "")
    document = tenant_file(path)
    durability = environment.get("KAON_DURABILITY", default.durability)
    if durability not in {"synchronous", "relaxed"}:
        raise InvalidValue(
            f"KAON_DURABILITY: {durability!r} is neither 'synchronous' nor 'relaxed'"
        )
    return Settings(
        kafka=environment.get("KAON_KAFKA", default.kafka),
        kafka_security=KafkaSecurity.read(environment),
        database=environment.get("KAON_DATABASE", default.database),
        address=environment.get("KAON_ADDRESS", default.address),
        advertised_address=environment.get("KAON_ADVERTISED_ADDRESS", default.advertised_address),
        api_only=_api_only(environment),
        tenants=_tenants(path, document),
        artifacts=environment.get("KAON_ARTIFACTS", default.artifacts),
        scratch=environment.get("KAON_SCRATCH", default.scratch),
        durability=durability,
        calls=call_settings(environment, document),
        metrics=environment.get("KAON_METRICS", default.metrics),
        metrics_token=metrics_token(environment),
        owner=environment.get("KAON_OWNER", default.owner),
        lease_seconds=_number(environment, "KAON_LEASE_SECONDS", default.lease_seconds),
        lease_keys=read_lease_keys(environment),
        heartbeats=HeartbeatVerifier.read(environment),
        command_signer=CommandSigner.read(environment),
        lease_tokens_required=_lease_tokens(environment) == "required",
        limits=_limits(environment.get("KAON_LIMITS", "")),
        channels=read_channels(environment.get("KAON_NOTIFICATIONS", "")),
        keep=Keep(
            run_days=_number(
                environment, "KAON_RETENTION_DAYS", default.keep.run_days, or_zero=True
            ),
            log_days=_number(
                environment, "KAON_LOG_RETENTION_DAYS", default.keep.log_days, or_zero=True
            ),
            artifact_days=_number(
                environment,
                "KAON_ARTIFACT_RETENTION_DAYS",
                default.keep.artifact_days,
                or_zero=True,
            ),
        ),
        catalogue=catalogue_from(environment),
    )


def _api_only(environment: Mapping[str, str]) -> bool:
    given = environment.get("KAON_API_ONLY", "off")
    if given not in {"on", "off"}:
        raise InvalidValue(f"KAON_API_ONLY: {given!r} is neither 'on' nor 'off'")
    return given == "on"


def _lease_tokens(environment: Mapping[str, str]) -> str:
    how = environment.get("KAON_LEASE_TOKENS", "required")
    if how not in {"required", "optional"}:
        raise InvalidValue(f"KAON_LEASE_TOKENS: {how!r} is neither 'required' nor 'optional'")
    return how


def _limits(text: str) -> Limits:
    try:
        return limits_from(text)
    except InvalidValue as error:
        raise InvalidValue(f"KAON_LIMITS: {error}") from error


def load_tenants(path: str) -> Tenants:
    """Read weights and quotas from a file; an empty path means that all tenants are equal.

    Raises:
        InvalidValue: The file is missing or malformed; the message names the place.
    """
    return _tenants(path, tenant_file(path))


def _tenants(path: str, document: Mapping[str, Any]) -> Tenants:
    try:
        return tenants_from(document)
    except InvalidValue as error:
        raise InvalidValue(f"KAON_TENANTS: {path}: {error}") from error


def advertised(settings: Settings, port: int) -> str:
    """Return the address at which other coordinators reach this one, once it listens on `port`."""
    if settings.advertised_address:
        return settings.advertised_address
    host = settings.address.rpartition(":")[0]
    wildcard = host in {"", "0.0.0.0", "[::]"}
    return f"{socket.gethostname() if wildcard else host}:{port}"


def catalogue_from(environment: Mapping[str, str]) -> topics.Catalogue:
    """Read the topics from the environment; every service must be given the same variables.

    Raises:
        InvalidValue: A variable has an invalid value; the message names it.
    """
    default = topics.Catalogue()
    pools = tuple(
        each.strip() for each in environment.get("KAON_POOLS", "").split(",") if each.strip()
    )
    if wrong := [pool for pool in pools if not POOL_NAME.match(pool)]:
        raise InvalidValue(f"KAON_POOLS: {wrong[0]!r} is no name of a pool: {POOL_NAME_RULE}")
    return topics.Catalogue(
        run_partitions=int(_number(environment, "KAON_RUN_PARTITIONS", default.run_partitions)),
        pool_partitions=int(_number(environment, "KAON_POOL_PARTITIONS", default.pool_partitions)),
        runner_partitions=int(
            _number(environment, "KAON_RUNNER_PARTITIONS", default.runner_partitions)
        ),
        pools=pools or default.pools,
        replication_factor=int(
            _number(environment, "KAON_REPLICATION", default.replication_factor)
        ),
    )


def _number(
    environment: Mapping[str, str], name: str, default: float, *, or_zero: bool = False
) -> float:
    text = environment.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        raise InvalidValue(f"{name}: {text!r} is not a number") from None
    if number < 0 or (number == 0 and not or_zero):
        raise InvalidValue(f"{name}: {text!r} must be more than 0")
    return number
