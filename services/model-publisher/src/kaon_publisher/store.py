"""The model registry's rows. Recording a version and announcing it is one transaction, so it is announced exactly once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf import json_format, timestamp_pb2
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from kaon_wire.errors import Conflict, NotFound, Unavailable
from kaonapi.model.v1 import model_pb2

_metadata = MetaData()
_versions = Table(
    "model_versions",
    _metadata,
    Column("tenant", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("idempotency_key", String, nullable=False),
    # Digest of what was asked for: the same key with another payload is refused.
    Column("payload", String, nullable=False),
    # A `ModelVersion` as JSON.
    Column("record", String, nullable=False),
    UniqueConstraint("tenant", "idempotency_key"),
)
_announcements = Table(
    "announcements",
    _metadata,
    Column("tenant", String, primary_key=True),
    Column("cursor", BigInteger, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("announce_us", BigInteger, nullable=False),
    # Whether the broker has acknowledged it.
    Column("sent", Boolean, nullable=False),
    UniqueConstraint("tenant", "model", "version"),
)
_consumers = Table(
    "consumers",
    _metadata,
    Column("tenant", String, primary_key=True),
    Column("consumer", String, primary_key=True),
    Column("cursor", BigInteger, nullable=False),
)
_pickups = Table(
    "pickups",
    _metadata,
    Column("tenant", String, primary_key=True),
    Column("consumer", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Pickup:
    """A consumer that has acknowledged a version."""

    consumer: str
    time_us: int


class ModelStore:
    """Models, announcements, and who has acknowledged them. Calls block and may come from any thread.

    Args:
        url: an SQLAlchemy URL; the tables are made when they are missing.

    Raises:
        Unavailable: the database does not answer.
    """

    def __init__(self, url: str) -> None:
        self._engine = _open(url)
        try:
            _metadata.create_all(self._engine)
        except DBAPIError as error:
            raise Unavailable(f"the models' database does not answer: {error.orig}") from error

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def published(self, tenant: str, key: str, payload: str) -> model_pb2.ModelVersion | None:
        """The version that was published under an idempotency key; None when there is none.

        Raises:
            Conflict: the key was used for something else.
        """
        with self._engine.connect() as connection:
            row = connection.execute(
                select(_versions).where(_versions.c.tenant == tenant, _versions.c.idempotency_key == key)
            ).one_or_none()
        if row is None:
            return None
        if row.payload != payload:
            raise Conflict(f"idempotency key {key!r} was used to publish another model")
        return _parse(row.record)

    def announce(
        self, record: model_pb2.ModelVersion, key: str, payload: str, now_us: int
    ) -> model_pb2.ModelVersion:
        """Records a version under the next number and announces it, in one transaction. Whoever comes second with the same key gets
        the first one's version."""
        while True:
            known = self.published(record.tenant, key, payload)
            if known is not None:
                return known
            try:
                with self._engine.begin() as connection:
                    return self._announce(connection, record, key, payload, now_us)
            except IntegrityError:
                # Another one took this number, or this key; look again.
                continue

    def versions(self, tenant: str, model: str = "") -> list[model_pb2.ModelVersion]:
        """All versions of a model, newest first; without a name the newest version of each."""
        query = (
            select(_versions)
            .where(_versions.c.tenant == tenant)
            .order_by(_versions.c.model, _versions.c.version.desc())
        )
        if model:
            query = query.where(_versions.c.model == model)
        with self._engine.connect() as connection:
            found = [_parse(row.record) for row in connection.execute(query)]
        if model:
            return found
        newest: dict[str, model_pb2.ModelVersion] = {}
        for version in found:
            newest.setdefault(version.model, version)
        return list(newest.values())

    def version(
        self, tenant: str, model: str, number: int = 0
    ) -> tuple[model_pb2.ModelVersion, list[Pickup]]:
        """One version (0: the newest) and who has picked it up.

        Raises:
            NotFound: there is none.
        """
        found = [each for each in self.versions(tenant, model) if model and number in {0, each.version}]
        if not found:
            raise NotFound(f"there is no model {model!r}" + (f" of version {number}" if number else ""))
        query = select(_pickups).where(
            _pickups.c.tenant == tenant, _pickups.c.model == model, _pickups.c.version == found[0].version
        )
        with self._engine.connect() as connection:
            pickups = [
                Pickup(consumer=row.consumer, time_us=row.time_us) for row in connection.execute(query)
            ]
        return found[0], sorted(pickups, key=lambda pickup: pickup.time_us)

    def announcements(
        self, tenant: str, after: int, model: str = "", limit: int = 100
    ) -> list[model_pb2.Announcement]:
        """Announcements after a cursor, in order."""
        query = (
            select(_announcements, _versions.c.record)
            .join(
                _versions,
                (_versions.c.tenant == _announcements.c.tenant)
                & (_versions.c.model == _announcements.c.model)
                & (_versions.c.version == _announcements.c.version),
            )
            .where(_announcements.c.tenant == tenant, _announcements.c.cursor > after)
            .order_by(_announcements.c.cursor)
            .limit(limit)
        )
        if model:
            query = query.where(_announcements.c.model == model)
        with self._engine.connect() as connection:
            return [
                _announcement(row.cursor, row.record, row.announce_us) for row in connection.execute(query)
            ]

    def unsent(self) -> list[tuple[str, int]]:
        """Tenant and cursor of the announcements that the broker has not acknowledged, in order."""
        query = select(_announcements).where(_announcements.c.sent.is_(False))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(_announcements.c.tenant, _announcements.c.cursor))
            return [(row.tenant, row.cursor) for row in rows]

    def mark_sent(self, tenant: str, cursor: int) -> None:
        """The broker has acknowledged this announcement."""
        with self._engine.begin() as connection:
            connection.execute(
                update(_announcements)
                .where(_announcements.c.tenant == tenant, _announcements.c.cursor == cursor)
                .values(sent=True)
            )

    def acknowledged(self, tenant: str, consumer: str) -> int:
        """The last cursor that a consumer acknowledged; 0 for one that never did."""
        query = select(_consumers.c.cursor).where(
            _consumers.c.tenant == tenant, _consumers.c.consumer == consumer
        )
        with self._engine.connect() as connection:
            return connection.execute(query).scalar() or 0

    def acknowledge(self, tenant: str, consumer: str, cursor: int, now_us: int) -> None:
        """The consumer has picked up everything up to the cursor. A cursor never goes back.

        Raises:
            NotFound: there is no such announcement.
        """
        before = self.acknowledged(tenant, consumer)
        fresh = self.announcements(tenant, before, limit=100_000)
        if cursor > before and cursor not in {each.cursor for each in fresh}:
            raise NotFound(f"there is no announcement {cursor}")
        with self._engine.begin() as connection:
            if cursor <= before:
                return
            where = (_consumers.c.tenant == tenant) & (_consumers.c.consumer == consumer)
            changed = connection.execute(update(_consumers).where(where).values(cursor=cursor)).rowcount
            if not changed:
                connection.execute(insert(_consumers).values(tenant=tenant, consumer=consumer, cursor=cursor))
            rows = [
                {
                    "tenant": tenant,
                    "consumer": consumer,
                    "model": each.version.model,
                    "version": each.version.version,
                    "time_us": now_us,
                }
                for each in fresh
                if each.cursor <= cursor
            ]
            connection.execute(insert(_pickups), rows)

    def _announce(
        self, connection: Connection, record: model_pb2.ModelVersion, key: str, payload: str, now_us: int
    ) -> model_pb2.ModelVersion:
        same = (_versions.c.tenant == record.tenant) & (_versions.c.model == record.model)
        number = (connection.execute(select(func.max(_versions.c.version)).where(same)).scalar() or 0) + 1
        ours = _announcements.c.tenant == record.tenant
        cursor = (connection.execute(select(func.max(_announcements.c.cursor)).where(ours)).scalar() or 0) + 1
        whole = model_pb2.ModelVersion()
        whole.CopyFrom(record)
        whole.version, whole.stage = number, model_pb2.STAGE_ANNOUNCED
        whole.create_time.FromMicroseconds(now_us)
        connection.execute(
            insert(_versions).values(
                tenant=record.tenant,
                model=record.model,
                version=number,
                idempotency_key=key,
                payload=payload,
                record=_format(whole),
            )
        )
        connection.execute(
            insert(_announcements).values(
                tenant=record.tenant,
                cursor=cursor,
                model=record.model,
                version=number,
                announce_us=now_us,
                sent=False,
            )
        )
        return whole


def _open(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _configure(connection: object, _: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            for setting in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
                cursor.execute(f"PRAGMA {setting}")
            cursor.close()

    return engine


def _format(record: model_pb2.ModelVersion) -> str:
    return json.dumps(json_format.MessageToDict(record), sort_keys=True)


def _parse(text: str) -> model_pb2.ModelVersion:
    return json_format.Parse(text, model_pb2.ModelVersion())


def _announcement(cursor: int, record: str, time_us: int) -> model_pb2.Announcement:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(time_us)
    return model_pb2.Announcement(cursor=cursor, version=_parse(record), announce_time=stamp)


__all__: Sequence[str] = ("ModelStore", "Pickup")
