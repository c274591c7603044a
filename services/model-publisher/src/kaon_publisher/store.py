"""The model registry's rows. Recording a version and announcing it is one transaction, so it is announced exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format, timestamp_pb2
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from kaon_publisher import tables as t
from kaon_publisher.serving import current_stack, retirable
from kaon_wire.errors import Conflict, NotFound, Unavailable
from kaonapi.model.v1 import model_pb2


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
            with self._engine.begin() as connection:
                t.create(connection)
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
                select(t.versions).where(t.versions.c.tenant == tenant, t.versions.c.idempotency_key == key)
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
            select(t.versions)
            .where(t.versions.c.tenant == tenant)
            .order_by(t.versions.c.model, t.versions.c.version.desc())
        )
        if model:
            query = query.where(t.versions.c.model == model)
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
        query = select(t.pickups).where(
            t.pickups.c.tenant == tenant, t.pickups.c.model == model, t.pickups.c.version == found[0].version
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
            _announced()
            .where(t.announcements.c.tenant == tenant, t.announcements.c.cursor > after)
            .order_by(t.announcements.c.cursor)
            .limit(limit)
        )
        if model:
            query = query.where(t.announcements.c.model == model)
        with self._engine.connect() as connection:
            return [_announcement(row) for row in connection.execute(query)]

    def current(self, tenant: str, model: str) -> int:
        """The model's current version; 0: there is none."""
        with self._engine.connect() as connection:
            stack = _stack(connection, tenant, model)
        return stack[-1] if stack else 0

    def promote(
        self, tenant: str, model: str, number: int, now_us: int, *, principal: str = "", reason: str = ""
    ) -> model_pb2.Announcement:
        """Makes a version the current one and announces that; see the proto.

        Raises:
            NotFound: there is no such version.
            Conflict: its image is gone.
        """
        version, _ = self.version(tenant, model, number)
        if version.stage == model_pb2.STAGE_RETIRED:
            raise Conflict(f"version {number} of model {model!r} is retired: its image is gone")

        def change(connection: Connection) -> None:
            if _stack(connection, tenant, model)[-1] != number:
                kind = model_pb2.ANNOUNCEMENT_KIND_PROMOTED
                _say(connection, version, now_us, kind=kind, principal=principal, reason=reason)

        return self._switch(tenant, model, change)

    def roll_back(
        self, tenant: str, model: str, leaving: int, now_us: int, *, principal: str = "", reason: str = ""
    ) -> model_pb2.Announcement:
        """Makes the version current that was current before, and announces that; see the proto.

        Raises:
            NotFound: there is nothing to go back to.
            Conflict: `leaving` is not the current version.
        """
        kind = model_pb2.ANNOUNCEMENT_KIND_ROLLED_BACK

        def change(connection: Connection) -> None:
            stack = _stack(connection, tenant, model)
            last = _last(connection, tenant, model)
            if leaving and last is not None and last.kind == kind and last.replaces == leaving:
                return
            if leaving and stack[-1:] != [leaving]:
                raise Conflict(f"version {leaving} of model {model!r} is not the current one")
            if len(stack) < 2:
                raise NotFound(f"model {model!r} has no version to go back to")
            target, _ = self.version(tenant, model, stack[-2])
            _say(connection, target, now_us, kind=kind, principal=principal, reason=reason)

        return self._switch(tenant, model, change)

    def _switch(
        self, tenant: str, model: str, change: Callable[[Connection], None]
    ) -> model_pb2.Announcement:
        """Applies a change of the current version, and returns the announcement that tells the current one."""
        while True:
            try:
                with self._engine.begin() as connection:
                    change(connection)
            except IntegrityError:
                # Another one took this cursor; look again.
                continue
            with self._engine.connect() as connection:
                last = _last(connection, tenant, model)
            assert last is not None
            return _announcement(last)

    def begin_push(self, tenant: str, model: str, digest: str, now_us: int) -> None:
        """An image is about to be pushed: until it is announced, it may have to be deleted again."""
        where = _push(tenant, model, digest)
        with self._engine.begin() as connection:
            if not connection.execute(update(t.pushes).where(where).values(time_us=now_us)).rowcount:
                connection.execute(
                    insert(t.pushes).values(tenant=tenant, model=model, digest=digest, time_us=now_us)
                )

    def abandoned(self, before_us: int) -> list[tuple[str, str, str]]:
        """Tenant, model and digest of images that were pushed before a time and never announced."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(t.pushes).where(t.pushes.c.time_us < before_us))
            return [(row.tenant, row.model, row.digest) for row in rows]

    def forget_push(self, tenant: str, model: str, digest: str) -> None:
        """The image is gone."""
        with self._engine.begin() as connection:
            connection.execute(delete(t.pushes).where(_push(tenant, model, digest)))

    def models(self) -> list[tuple[str, str]]:
        """Tenant and name of every model."""
        query = select(t.versions.c.tenant, t.versions.c.model).distinct()
        with self._engine.connect() as connection:
            return [(row.tenant, row.model) for row in connection.execute(query)]

    def retirable(self, tenant: str, model: str, keep: int) -> list[model_pb2.ModelVersion]:
        """The versions that need their images no more, `keep` being how many of the newest are kept in any case."""
        alive = [each for each in self.versions(tenant, model) if each.stage != model_pb2.STAGE_RETIRED]
        with self._engine.connect() as connection:
            stack = _stack(connection, tenant, model)
        numbers = set(retirable((each.version for each in alive), stack, keep))
        return [each for each in alive if each.version in numbers]

    def retire(self, version: model_pb2.ModelVersion) -> None:
        """Marks a version as one whose image is gone, or is about to be."""
        version.stage = model_pb2.STAGE_RETIRED
        where = (
            (t.versions.c.tenant == version.tenant)
            & (t.versions.c.model == version.model)
            & (t.versions.c.version == version.version)
        )
        with self._engine.begin() as connection:
            connection.execute(update(t.versions).where(where).values(record=_format(version)))

    def needs(self, tenant: str, model: str, digest: str) -> bool:
        """Whether a version that is not retired has this image."""
        return any(
            each.image_digest == digest and each.stage != model_pb2.STAGE_RETIRED
            for each in self.versions(tenant, model)
        )

    def unsent(self) -> list[tuple[str, int]]:
        """Tenant and cursor of the announcements that the broker has not acknowledged, in order."""
        query = select(t.announcements).where(t.announcements.c.sent.is_(False))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(t.announcements.c.tenant, t.announcements.c.cursor))
            return [(row.tenant, row.cursor) for row in rows]

    def mark_sent(self, tenant: str, cursor: int) -> None:
        """The broker has acknowledged this announcement."""
        with self._engine.begin() as connection:
            connection.execute(
                update(t.announcements)
                .where(t.announcements.c.tenant == tenant, t.announcements.c.cursor == cursor)
                .values(sent=True)
            )

    def acknowledged(self, tenant: str, consumer: str) -> int:
        """The last cursor that a consumer acknowledged; 0 for one that never did."""
        query = select(t.consumers.c.cursor).where(
            t.consumers.c.tenant == tenant, t.consumers.c.consumer == consumer
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
            where = (t.consumers.c.tenant == tenant) & (t.consumers.c.consumer == consumer)
            changed = connection.execute(update(t.consumers).where(where).values(cursor=cursor)).rowcount
            if not changed:
                connection.execute(
                    insert(t.consumers).values(tenant=tenant, consumer=consumer, cursor=cursor)
                )
            for model, version in {
                (each.version.model, each.version.version) for each in fresh if each.cursor <= cursor
            }:
                _pick_up(connection, tenant, consumer, model, version, now_us)

    def _announce(
        self, connection: Connection, record: model_pb2.ModelVersion, key: str, payload: str, now_us: int
    ) -> model_pb2.ModelVersion:
        same = (t.versions.c.tenant == record.tenant) & (t.versions.c.model == record.model)
        number = (connection.execute(select(func.max(t.versions.c.version)).where(same)).scalar() or 0) + 1
        whole = model_pb2.ModelVersion()
        whole.CopyFrom(record)
        whole.version, whole.stage = number, model_pb2.STAGE_ANNOUNCED
        whole.create_time.FromMicroseconds(now_us)
        connection.execute(
            insert(t.versions).values(
                tenant=record.tenant,
                model=record.model,
                version=number,
                idempotency_key=key,
                payload=payload,
                record=_format(whole),
            )
        )
        _say(connection, whole, now_us, kind=model_pb2.ANNOUNCEMENT_KIND_PUBLISHED)
        connection.execute(delete(t.pushes).where(_push(record.tenant, record.model, record.image_digest)))
        return whole


def _announced() -> Select[Any]:
    """Announcements with the records of their versions."""
    return select(t.announcements, t.versions.c.record).join(
        t.versions,
        (t.versions.c.tenant == t.announcements.c.tenant)
        & (t.versions.c.model == t.announcements.c.model)
        & (t.versions.c.version == t.announcements.c.version),
    )


def _pick_up(
    connection: Connection, tenant: str, consumer: str, model: str, version: int, now_us: int
) -> None:
    """A version that is picked up again, after a promotion or a rollback, has the new time."""
    key = {"tenant": tenant, "consumer": consumer, "model": model, "version": version}
    where = [t.pickups.c[name] == value for name, value in key.items()]
    if not connection.execute(update(t.pickups).where(*where).values(time_us=now_us)).rowcount:
        connection.execute(insert(t.pickups).values(**key, time_us=now_us))


def _last(connection: Connection, tenant: str, model: str) -> Row[Any] | None:
    """The model's last announcement: the one that tells its current version."""
    query = _announced().where(t.announcements.c.tenant == tenant, t.announcements.c.model == model)
    return connection.execute(query.order_by(t.announcements.c.cursor.desc()).limit(1)).one_or_none()


def _stack(connection: Connection, tenant: str, model: str) -> list[int]:
    query = (
        select(t.announcements.c.kind, t.announcements.c.version)
        .where(t.announcements.c.tenant == tenant, t.announcements.c.model == model)
        .order_by(t.announcements.c.cursor)
    )
    return current_stack((row.kind, row.version) for row in connection.execute(query))


def _say(
    connection: Connection,
    version: model_pb2.ModelVersion,
    now_us: int,
    *,
    kind: model_pb2.AnnouncementKind.ValueType,
    principal: str = "",
    reason: str = "",
) -> None:
    """Writes the tenant's next announcement."""
    ours = t.announcements.c.tenant == version.tenant
    last = connection.execute(select(func.max(t.announcements.c.cursor)).where(ours)).scalar() or 0
    stack = _stack(connection, version.tenant, version.model)
    connection.execute(
        insert(t.announcements).values(
            tenant=version.tenant,
            cursor=last + 1,
            model=version.model,
            version=version.version,
            announce_us=now_us,
            kind=kind,
            replaces=stack[-1] if stack else 0,
            principal=principal,
            reason=reason,
            sent=False,
        )
    )


def _push(tenant: str, model: str, digest: str) -> ColumnElement[bool]:
    return (t.pushes.c.tenant == tenant) & (t.pushes.c.model == model) & (t.pushes.c.digest == digest)


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


def _announcement(row: Row[Any]) -> model_pb2.Announcement:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(row.announce_us)
    return model_pb2.Announcement(
        cursor=row.cursor,
        version=_parse(row.record),
        announce_time=stamp,
        kind=row.kind,
        replaces=row.replaces,
        principal=row.principal,
        reason=row.reason,
    )


__all__: Sequence[str] = ("ModelStore", "Pickup")
