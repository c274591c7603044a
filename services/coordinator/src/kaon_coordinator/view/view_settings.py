"""What a view service can be told, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kaon_coordinator.settings import catalogue_from
from kaon_service.access.open_lines import closes_database
from kaon_service.call_settings import CallSettings, call_settings
from kaon_service.kafka_security import OPEN, KafkaSecurity
from kaon_telemetry.endpoint import metrics_token
from kaon_wire import topics


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one view service. Each field's variable is named beside it."""

    # KAON_VIEW_ADDRESS: where the gRPC API listens.
    address: str = "127.0.0.1:7075"
    # KAON_DATABASE: the coordinators' database, or a replica of it, as an SQLAlchemy URL.
    database: str = "sqlite:///kaon.db"
    # KAON_KAFKA: host:port of brokers, separated by commas; empty: there is none, and the database is looked at periodically.
    kafka: str = ""
    # KAON_KAFKA_SECURITY and the variables that belong to it: how to connect to them (docs/lines.md).
    kafka_security: KafkaSecurity = OPEN
    # KAON_ARTIFACTS: where the whole logs of attempts are kept, as an fsspec URL.
    artifacts: str = "file:///var/lib/kaon/artifacts"
    # KAON_METRICS: host:port at which Prometheus reads metrics; empty: nowhere.
    metrics: str = ""
    # KAON_METRICS_TOKEN_FILE: a file with the token that reading them takes; "none": no token, although others reach the address.
    metrics_token: str = field(default="", repr=False)
    # The topics, which KAON_RUN_PARTITIONS and the other variables of the coordinator describe.
    catalogue: topics.Catalogue = field(default_factory=topics.Catalogue)
    # What is recorded of calls, and how many of them are taken. A view of a replica needs KAON_AUDIT_DATABASE.
    calls: CallSettings = field(default_factory=CallSettings)

    @property
    def lines(self) -> Mapping[str, bool]:
        """Return whether each line to other services is closed, by its variable."""
        lines = {"KAON_DATABASE": closes_database(self.database)}
        if self.kafka:
            lines["KAON_KAFKA_SECURITY"] = self.kafka_security.is_closed
        return {**lines, **self.calls.lines}


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Return the settings that the environment gives; what it does not mention has its default.

    Raises:
        InvalidValue: a variable has no usable value; the message names it.
    """
    default = Settings()
    return Settings(
        address=environment.get("KAON_VIEW_ADDRESS", default.address),
        database=environment.get("KAON_DATABASE", default.database),
        kafka=environment.get("KAON_KAFKA", default.kafka),
        kafka_security=KafkaSecurity.read(environment),
        artifacts=environment.get("KAON_ARTIFACTS", default.artifacts),
        metrics=environment.get("KAON_METRICS", default.metrics),
        metrics_token=metrics_token(environment),
        catalogue=catalogue_from(environment),
        calls=call_settings(environment),
    )
