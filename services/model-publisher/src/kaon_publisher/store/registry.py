"""The transactions of the model registry; each noun's rows have a module of their own.

Recording a version and announcing it is one transaction, so it is announced exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from kaon_publisher.serving import retirable
from kaon_publisher.store import announcements, consumers, pushes, versions
from kaon_publisher.store.consumers import Pickup
from kaon_publisher.store.migrate import MIGRATIONS
from kaon_service.databases import Durability, open_database, refusals
from kaon_wire.errors import Conflict, NotFound
from kaonapi.model.v1 import model_pb2


class ModelStore:
    """Models, announcements and acknowledgements.

    Calls block and may come from any thread. Each raises `Unavailable` while the database does not answer.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://USER@HOST:PORT/NAME`; its tables are migrated.

    Raises:
        InvalidValue: The URL names neither.
        Unavailable: The database does not answer.
        Conflict: The database belongs to a newer version of Kaon.
    """

    def __init__(self, url: str) -> None:
        self._database = open_database(url, Durability.FULL)
        try:
            with refusals("migrate models"):
                MIGRATIONS.apply(self._database)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def published(self, tenant: str, key: str, payload: str) -> model_pb2.ModelVersion | None:
        """Return the version that was published under an idempotency key; None when there is none.

        Raises:
            Conflict: The key was used for another request.
        """
        with self._reading() as connection:
            return versions.published(connection, tenant, key, payload)

    def announce(
        self, record: model_pb2.ModelVersion, key: str, payload: str, now_us: int
    ) -> model_pb2.ModelVersion:
        """Record a version under the next number and announce it, in one transaction.

        A second caller with the same key gets the first one's version.
        """
        while True:
            known = self.published(record.tenant, key, payload)
            if known is not None:
                return known
            try:
                with self._writing() as connection:
                    return self._announce(connection, record, key, payload, now_us)
            except IntegrityError:
                # Another transaction took this number, or this key; read again.
                continue

    def versions(
        self, tenant: str, model: str = "", after: str = "", limit: int | None = None
    ) -> list[model_pb2.ModelVersion]:
        """Return versions of a model, newest first; without a name the newest version of each.

        Args:
            tenant: Whose.
            model: Name of the model, or empty.
            after: Where the page before ended: a version's number, or a model's name.
            limit: At most so many.
        """
        with self._reading() as connection:
            return (
                versions.of_model(connection, tenant, model, int(after or 0), limit)
                if model
                else versions.newest(connection, tenant, after, limit)
            )

    def version(
        self, tenant: str, model: str, number: int = 0
    ) -> tuple[model_pb2.ModelVersion, list[Pickup]]:
        """Return one version (0: the newest) and its pickups.

        Raises:
            NotFound: The version does not exist.
        """
        with self._reading() as connection:
            found = versions.one(connection, tenant, model, number)
            return found, consumers.pickups_of(connection, tenant, model, found.version)

    def announcements(
        self, tenant: str, after: int, model: str = "", limit: int = 100
    ) -> list[model_pb2.Announcement]:
        """Return announcements after a cursor, in order."""
        with self._reading() as connection:
            return announcements.after(connection, tenant, after, model, limit)

    def current(self, tenant: str, model: str) -> int:
        """Return the model's current version; 0: there is none."""
        with self._reading() as connection:
            stack = announcements.stack(connection, tenant, model)
        return stack[-1] if stack else 0

    def promote(
        self,
        tenant: str,
        model: str,
        number: int,
        now_us: int,
        *,
        principal: str = "",
        reason: str = "",
    ) -> model_pb2.Announcement:
        """Make a version the current one and announce it; see the proto.

        Raises:
            NotFound: The version does not exist.
            Conflict: Its image was deleted.
        """
        version, _ = self.version(tenant, model, number)
        if version.stage == model_pb2.STAGE_RETIRED:
            raise Conflict(f"version {number} of model {model!r} is retired: its image is gone")

        def change(connection: Connection) -> None:
            if announcements.stack(connection, tenant, model)[-1] != number:
                kind = model_pb2.ANNOUNCEMENT_KIND_PROMOTED
                announcements.append(
                    connection, version, now_us, kind=kind, principal=principal, reason=reason
                )

        return self._switch(tenant, model, change)

    def roll_back(
        self,
        tenant: str,
        model: str,
        leaving: int,
        now_us: int,
        *,
        principal: str = "",
        reason: str = "",
    ) -> model_pb2.Announcement:
        """Make the previous version the current one, and announce it; see the proto.

        Raises:
            NotFound: There is no previous version.
            Conflict: `leaving` is not the current version.
        """
        kind = model_pb2.ANNOUNCEMENT_KIND_ROLLED_BACK

        def change(connection: Connection) -> None:
            stack = announcements.stack(connection, tenant, model)
            last = announcements.last(connection, tenant, model)
            if leaving and last is not None and last.kind == kind and last.replaces == leaving:
                return
            if leaving and stack[-1:] != [leaving]:
                raise Conflict(f"version {leaving} of model {model!r} is not the current one")
            if len(stack) < 2:
                raise NotFound(f"model {model!r} has no version to go back to")
            target, _ = self.version(tenant, model, stack[-2])
            announcements.append(
                connection, target, now_us, kind=kind, principal=principal, reason=reason
            )

        return self._switch(tenant, model, change)

    def _switch(
        self, tenant: str, model: str, change: Callable[[Connection], None]
    ) -> model_pb2.Announcement:
        """Apply a change of the current version, and return the announcement of the current one."""
        while True:
            try:
                with self._writing() as connection:
                    change(connection)
            except IntegrityError:
                # Another transaction took this cursor; read again.
                continue
            with self._reading() as connection:
                last = announcements.last(connection, tenant, model)
            assert last is not None
            return last

    def begin_push(self, tenant: str, model: str, digest: str, now_us: int) -> None:
        """Record an image before it is pushed: until it is announced, it may have to be deleted again."""
        with self._writing() as connection:
            pushes.begin(connection, tenant, model, digest, now_us)

    def abandoned(self, before_us: int) -> list[tuple[str, str, str]]:
        """Return tenant, model and digest of images that were pushed before a time and never announced."""
        with self._reading() as connection:
            return pushes.abandoned(connection, before_us)

    def forget_push(self, tenant: str, model: str, digest: str) -> None:
        """Record that the image is deleted."""
        with self._writing() as connection:
            pushes.forget(connection, tenant, model, digest)

    def models(self) -> list[tuple[str, str]]:
        """Return tenant and name of every model."""
        with self._reading() as connection:
            return versions.models(connection)

    def retirable(self, tenant: str, model: str, keep: int) -> list[model_pb2.ModelVersion]:
        """Return the versions whose images can be deleted; the newest `keep` are always kept."""
        with self._reading() as connection:
            alive = versions.alive(connection, tenant, model)
            stack = announcements.stack(connection, tenant, model)
        numbers = set(retirable((each.version for each in alive), stack, keep))
        return [each for each in alive if each.version in numbers]

    def retire(self, version: model_pb2.ModelVersion) -> None:
        """Mark a version as one whose image is deleted, or is about to be."""
        with self._writing() as connection:
            versions.retire(connection, version)

    def needs(self, tenant: str, model: str, digest: str) -> bool:
        """Tell whether a version that is not retired has this image."""
        with self._reading() as connection:
            alive = versions.alive(connection, tenant, model)
        return any(each.image_digest == digest for each in alive)

    def unsent(self) -> list[tuple[str, int]]:
        """Return tenant and cursor of the announcements that the broker has not acknowledged, in order."""
        with self._reading() as connection:
            return announcements.unsent(connection)

    def mark_sent(self, tenant: str, cursor: int) -> None:
        """Record that the broker has acknowledged this announcement."""
        with self._writing() as connection:
            announcements.mark_sent(connection, tenant, cursor)

    def acknowledged(self, tenant: str, consumer: str) -> int:
        """Return the last cursor that a consumer acknowledged; 0 for one that never did."""
        with self._reading() as connection:
            return consumers.acknowledged(connection, tenant, consumer)

    def acknowledge(self, tenant: str, consumer: str, cursor: int, now_us: int) -> None:
        """Record that the consumer has picked up everything up to the cursor. A cursor never decreases.

        Raises:
            NotFound: The announcement does not exist.
        """
        with self._writing() as connection:
            consumers.acknowledge(connection, tenant, consumer, cursor, now_us)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with refusals("models"), self._database.reader.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with refusals("models"), self._database.writer.begin() as connection:
            yield connection

    def _announce(
        self,
        connection: Connection,
        record: model_pb2.ModelVersion,
        key: str,
        payload: str,
        now_us: int,
    ) -> model_pb2.ModelVersion:
        whole = versions.record(connection, record, key, payload, now_us)
        announcements.append(connection, whole, now_us, kind=model_pb2.ANNOUNCEMENT_KIND_PUBLISHED)
        pushes.forget(connection, record.tenant, record.model, record.image_digest)
        return whole
