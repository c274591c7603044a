"""Published versions of models."""

from __future__ import annotations

import json

from google.protobuf import json_format
from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from kaon_publisher.store.tables import versions
from kaon_wire.errors import Conflict, NotFound
from kaonapi.model.v1 import model_pb2


def published(
    connection: Connection, tenant: str, key: str, payload: str
) -> model_pb2.ModelVersion | None:
    """Return the version that was published under an idempotency key; None when there is none.

    Raises:
        Conflict: The key was used for another request.
    """
    mine = (versions.c.tenant == tenant) & (versions.c.idempotency_key == key)
    row = connection.execute(select(versions).where(mine)).one_or_none()
    if row is None:
        return None
    if row.payload != payload:
        raise Conflict(f"idempotency key {key!r} was used to publish another model")
    return parse(row.record)


def record(
    connection: Connection, version: model_pb2.ModelVersion, key: str, payload: str, now_us: int
) -> model_pb2.ModelVersion:
    """Write a version under the next number, and return it.

    Raises:
        IntegrityError: Another transaction took this number, or this key.
    """
    same = (versions.c.tenant == version.tenant) & (versions.c.model == version.model)
    number = (
        connection.execute(select(func.max(versions.c.version)).where(same)).scalar() or 0
    ) + 1
    whole = model_pb2.ModelVersion()
    whole.CopyFrom(version)
    whole.version, whole.stage = number, model_pb2.STAGE_ANNOUNCED
    whole.create_time.FromMicroseconds(now_us)
    connection.execute(
        insert(versions).values(
            tenant=version.tenant,
            model=version.model,
            version=number,
            idempotency_key=key,
            payload=payload,
            record=_format(whole),
        )
    )
    return whole


def of_model(
    connection: Connection, tenant: str, model: str, before: int = 0, limit: int | None = None
) -> list[model_pb2.ModelVersion]:
    """Return at most `limit` versions of a model, newest first; of those before a number, unless it is 0."""
    query = select(versions.c.record).where(versions.c.tenant == tenant, versions.c.model == model)
    if before:
        query = query.where(versions.c.version < before)
    query = query.limit(limit)
    return [
        parse(text)
        for text in connection.execute(query.order_by(versions.c.version.desc())).scalars()
    ]


def newest(
    connection: Connection, tenant: str, after: str = "", limit: int | None = None
) -> list[model_pb2.ModelVersion]:
    """Return the newest version of at most `limit` of a tenant's models after one, by name."""
    mine = (versions.c.tenant == tenant) & (versions.c.model > after)
    last = select(versions.c.model, func.max(versions.c.version).label("version")).where(mine)
    last_of = last.group_by(versions.c.model).order_by(versions.c.model).limit(limit).subquery()
    same = (versions.c.model == last_of.c.model) & (versions.c.version == last_of.c.version)
    query = select(versions.c.record).join(last_of, same).where(versions.c.tenant == tenant)
    return [parse(text) for text in connection.execute(query.order_by(versions.c.model)).scalars()]


def one(connection: Connection, tenant: str, model: str, number: int = 0) -> model_pb2.ModelVersion:
    """Return one version; 0: the newest.

    Raises:
        NotFound: The version does not exist.
    """
    for version in of_model(connection, tenant, model):
        if number in {0, version.version}:
            return version
    raise NotFound(f"there is no model {model!r}" + (f" of version {number}" if number else ""))


def models(connection: Connection) -> list[tuple[str, str]]:
    """Return tenant and name of every model."""
    query = select(versions.c.tenant, versions.c.model).distinct()
    return [(row.tenant, row.model) for row in connection.execute(query)]


def alive(connection: Connection, tenant: str, model: str) -> list[model_pb2.ModelVersion]:
    """Return the versions that have their images, newest first."""
    found = of_model(connection, tenant, model)
    return [version for version in found if version.stage != model_pb2.STAGE_RETIRED]


def retire(connection: Connection, version: model_pb2.ModelVersion) -> None:
    """Mark a version as one whose image is deleted, or is about to be."""
    version.stage = model_pb2.STAGE_RETIRED
    connection.execute(update(versions).where(_this(version)).values(record=_format(version)))


def parse(text: str) -> model_pb2.ModelVersion:
    """Parse a version from its column `record`."""
    return json_format.Parse(text, model_pb2.ModelVersion())


def _format(version: model_pb2.ModelVersion) -> str:
    return json.dumps(json_format.MessageToDict(version), sort_keys=True)


def _this(version: model_pb2.ModelVersion) -> ColumnElement[bool]:
    return (
        (versions.c.tenant == version.tenant)
        & (versions.c.model == version.model)
        & (versions.c.version == version.version)
    )
