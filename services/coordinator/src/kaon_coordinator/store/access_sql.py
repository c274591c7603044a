"""Tenants and static tokens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, case, select, tuple_, update

from kaon_coordinator.store.records import TenantRecord, TokenPage, TokenRecord
from kaon_coordinator.store.tables import tenants, tokens, workflow_names
from kaon_service import page_tokens
from kaon_service.databases import Database
from kaon_wire.errors import Conflict, NotFound

# What another `put` of a tenant changes.
_SETTINGS = ("enabled", "highest_priority", "topics")


def put_tenant(database: Database, connection: Connection, record: TenantRecord) -> TenantRecord:
    """Store a tenant, or change the settings of the one with its name."""
    values = vars(record) | {"enabled": int(record.enabled), "topics": ",".join(record.topics)}
    row = database.insert(tenants).values(values)
    statement = row.on_conflict_do_update(
        index_elements=["name"], set_={name: row.excluded[name] for name in _SETTINGS}
    )
    return _tenant(connection.execute(statement.returning(tenants)).one())


def find_tenant(connection: Connection, name: str) -> TenantRecord | None:
    """Return a tenant by its name."""
    row = connection.execute(select(tenants).where(tenants.c.name == name)).first()
    return None if row is None else _tenant(row)


def list_tenants(connection: Connection, after: str, limit: int) -> list[TenantRecord]:
    """Return tenants by name."""
    query = select(tenants).where(tenants.c.name > after).order_by(tenants.c.name).limit(limit)
    return [_tenant(row) for row in connection.execute(query)]


def unknown_tenants(connection: Connection) -> list[str]:
    """Return the names of workflows' tenants that no administrator made."""
    query = (
        select(workflow_names.c.tenant)
        .distinct()
        .where(workflow_names.c.tenant.not_in(select(tenants.c.name)))
    )
    return sorted(connection.execute(query).scalars())


def add_token(database: Database, connection: Connection, record: TokenRecord) -> None:
    """Store a new token."""
    values = vars(record) | {"roles": ",".join(record.roles)}
    row = database.insert(tokens).values(values).on_conflict_do_nothing()
    if connection.execute(row.returning(tokens.c.token_id)).first() is None:
        raise Conflict(f"there is a token {record.token_id!r}")


def find_token(connection: Connection, token_id: str) -> TokenRecord | None:
    """Return a token by its id."""
    row = connection.execute(select(tokens).where(tokens.c.token_id == token_id)).first()
    return None if row is None else _token(row)


def list_tokens(connection: Connection, tenant: str, page_size: int, page_token: str) -> TokenPage:
    """Return one page of a tenant's tokens."""
    query = select(tokens).where(tokens.c.tenant == tenant)
    if page_token:
        place = tuple_(*page_tokens.place(page_token))
        query = query.where(tuple_(tokens.c.create_us, tokens.c.token_id) < place)
    query = query.order_by(tokens.c.create_us.desc(), tokens.c.token_id.desc())
    found = [_token(row) for row in connection.execute(query.limit(page_size + 1))]
    page = found[:page_size]
    more = len(found) > page_size
    return TokenPage(
        tokens=page,
        next_page_token=page_tokens.made(page[-1].create_us, page[-1].token_id) if more else "",
    )


def revoke_token(connection: Connection, tenant: str, token_id: str, now_us: int) -> TokenRecord:
    """End a token, if it has not ended."""
    first = case((tokens.c.revoke_us == 0, now_us), else_=tokens.c.revoke_us)
    chosen = (tokens.c.tenant == tenant, tokens.c.token_id == token_id)
    statement = update(tokens).where(*chosen).values(revoke_us=first).returning(tokens)
    row = connection.execute(statement).first()
    if row is None:
        raise NotFound(f"there is no token {token_id!r}")
    return _token(row)


def _tenant(row: Row[Any]) -> TenantRecord:
    values = dict(row._mapping)
    values |= {"enabled": bool(row.enabled), "topics": _split(row.topics)}
    return TenantRecord(**values)


def _token(row: Row[Any]) -> TokenRecord:
    return TokenRecord(**(dict(row._mapping) | {"roles": _split(row.roles)}))


def _split(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))
