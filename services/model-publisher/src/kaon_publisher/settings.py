"""The publisher's settings, from environment variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from kaon_publisher.registry_access import OPEN as OPEN_REGISTRY
from kaon_publisher.registry_access import RegistryAccess
from kaon_service.access.lease_file import read_lease_keys
from kaon_service.access.open_lines import closes_database
from kaon_service.call_settings import CallSettings, call_settings
from kaon_service.kafka_security import OPEN, KafkaSecurity
from kaon_telemetry.endpoint import metrics_token
from kaon_wire.addresses import is_loopback
from kaon_wire.errors import InvalidValue
from kaon_wire.lease_tokens import LeaseKeys

N = TypeVar("N", int, float)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one publisher. Each field's variable is named beside it."""

    # KAON_PUBLISHER_ADDRESS: where the gRPC API listens.
    address: str = "127.0.0.1:7071"
    # KAON_SERVER: host:port of a coordinator, which tells whose static tokens callers show.
    server: str = "127.0.0.1:7070"
    # KAON_LEASE_KEYS: a file with the keys of lease tokens, the same as for all coordinators; empty: where callers are
    # authenticated, no runner publishes.
    lease_keys: Callable[[], LeaseKeys] | None = None
    # KAON_PUBLISHER_DATABASE: an SQLAlchemy URL.
    database: str = "sqlite:///models.db"
    # KAON_ARTIFACTS: storage of artifacts.
    artifacts: str = "file:///var/lib/kaon/artifacts"
    # KAON_PUBLISHER_LAYOUTS: directory of the OCI layouts.
    layouts: Path = Path("layouts")
    # KAON_REGISTRY: host:port of an image registry; empty: images stay OCI layouts.
    registry: str = ""
    # KAON_REGISTRY_INTERNAL: host:port of that registry for this process, if it differs from that for
    # consumers; empty: the same.
    registry_internal: str = ""
    # KAON_REGISTRY_CA, KAON_REGISTRY_USER, KAON_REGISTRY_PASSWORD_FILE: how to connect to it (docs/lines.md).
    registry_access: RegistryAccess = OPEN_REGISTRY
    # KAON_SERVING_BASE: image with Python 3 on which models are served, known to the Docker engine; empty: images are assembled
    # without a base and not run.
    serving_base: str = ""
    # KAON_MODEL_KEEP: how many of a model's newest versions keep their images; 0: all. The current one and
    # the target of a rollback always do.
    keep: int = 20
    # KAON_HOUSEKEEPING_SECONDS: pause between two rounds that delete unneeded images.
    housekeeping_seconds: float = 3600.0
    # DOCKER_HOST: the Docker engine; empty: its default.
    docker_host: str = ""
    # KAON_KAFKA: brokers; empty: announcements go over gRPC only.
    kafka: str = ""
    # KAON_KAFKA_SECURITY and the variables that belong to it: how to connect to them (docs/lines.md).
    kafka_security: KafkaSecurity = OPEN
    # KAON_METRICS: host:port at which Prometheus reads metrics; empty: metrics are not served.
    metrics: str = ""
    # KAON_METRICS_TOKEN_FILE: a file with the token that reading them takes; "none": no token, although others reach the address.
    metrics_token: str = field(default="", repr=False)
    # What is recorded of calls, and how many of them are taken.
    calls: CallSettings = field(default_factory=CallSettings)

    @property
    def lines(self) -> Mapping[str, bool]:
        """Return whether each line to other services is closed, by its variable."""
        lines = {"KAON_PUBLISHER_DATABASE": closes_database(self.database)}
        if self.kafka:
            lines["KAON_KAFKA_SECURITY"] = self.kafka_security.is_closed
        if self.registry and not is_loopback(self.registry_internal or self.registry):
            lines["KAON_REGISTRY_CA"] = bool(self.registry_access.ca)
        return {**lines, **self.calls.lines}


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings from the environment; absent variables have their defaults.

    Raises:
        InvalidValue: A variable has an invalid value; the message names it.
    """
    default = Settings()
    return Settings(
        address=environment.get("KAON_PUBLISHER_ADDRESS", default.address),
        server=environment.get("KAON_SERVER") or default.server,
        lease_keys=read_lease_keys(environment),
        database=environment.get("KAON_PUBLISHER_DATABASE", default.database),
        artifacts=environment.get("KAON_ARTIFACTS", default.artifacts),
        layouts=Path(environment.get("KAON_PUBLISHER_LAYOUTS", default.layouts)).absolute(),
        registry=environment.get("KAON_REGISTRY", default.registry),
        registry_internal=environment.get("KAON_REGISTRY_INTERNAL", default.registry_internal),
        registry_access=RegistryAccess.read(environment),
        serving_base=environment.get("KAON_SERVING_BASE", default.serving_base),
        keep=_number(environment, "KAON_MODEL_KEEP", default.keep, least=0),
        housekeeping_seconds=_number(
            environment, "KAON_HOUSEKEEPING_SECONDS", default.housekeeping_seconds, least=0.1
        ),
        docker_host=environment.get("DOCKER_HOST", default.docker_host),
        kafka=environment.get("KAON_KAFKA", default.kafka),
        kafka_security=KafkaSecurity.read(environment),
        metrics=environment.get("KAON_METRICS", default.metrics),
        metrics_token=metrics_token(environment),
        calls=call_settings(environment),
    )


def _number(environment: Mapping[str, str], name: str, default: N, *, least: float) -> N:
    text = environment.get(name)
    if not text:
        return default
    try:
        number = type(default)(text)
    except ValueError:
        raise InvalidValue(f"{name}: {text!r} is not a number") from None
    if number < least:
        raise InvalidValue(f"{name}: {text!r} must be at least {least:g}")
    return number
