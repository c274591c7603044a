"""`python -m kaon_coordinator.access`: tokens and tenants directly in the database.

Whoever can write to the database may do this: it makes the first token of a platform administrator, with whom `kaon tokens` and
`kaon tenants` do the rest.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from kaon_wire.loading import loading

with loading(without="rich"):
    from kaon_coordinator.access import checked_tenants, tokens
    from kaon_coordinator.access.tokens import Holder
    from kaon_coordinator.store.base import Store, TenantRecord
    from kaon_coordinator.store.sql import open_store
    from kaon_service.roles import Kind
    from kaon_wire.errors import InvalidValue, KaonError

_CREATED_BY = "database"
_DAY_US = 86_400_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the arguments say. Exit codes: 0 done, 1 refused, 2 wrong usage."""
    given = _parser().parse_args(arguments)
    try:
        store = _opened(given.database)
        try:
            given.do(store, given)
        finally:
            store.close()
    except KaonError as error:
        print(f"kaon-access: {error}", file=sys.stderr)
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kaon-access", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--database",
        default=os.environ.get("KAON_DATABASE", ""),
        help="URL of the coordinators' database; by default KAON_DATABASE",
    )
    commands = parser.add_subparsers(required=True)
    token = commands.add_parser(
        "token",
        help="make a token, and its tenant if there is none; prints the token, which is kept nowhere else",
    )
    token.add_argument(
        "--role", action="append", default=[], help="such as platform-admin; may be repeated"
    )
    token.add_argument("--tenant", default="default")
    token.add_argument("--name", required=True, help="whom it stands for")
    token.add_argument(
        "--kind", choices=[str(kind) for kind in tokens.TOKEN_KINDS], default=Kind.PERSON
    )
    token.add_argument("--pool", default="", help="the pool of a runner")
    token.add_argument("--days", type=int, default=90, help="when it ends; 0: never. 90 by default")
    token.set_defaults(do=_token)
    tenant = commands.add_parser("tenant", help="make a tenant, if there is none of the name")
    tenant.add_argument("name")
    tenant.set_defaults(do=lambda store, given: _make_tenant(store, given.name))
    unknown = commands.add_parser(
        "unknown",
        help="print the names under which workflows are registered, and of which there is no tenant: "
        "they cannot call once authentication is on",
    )
    unknown.set_defaults(do=_unknown)
    grants = commands.add_parser(
        "grants",
        help="give each tenant the artifacts that its runs, workflows and schedules name: once, when the last service of an "
        "earlier version is gone",
    )
    grants.set_defaults(do=lambda store, given: store.grant_named())
    return parser


def _opened(url: str) -> Store:
    if not url:
        raise InvalidValue("which database? Set KAON_DATABASE, or use --database URL")
    return open_store(url)


def _token(store: Store, given: argparse.Namespace) -> None:
    if given.days < 0:
        raise InvalidValue(
            f"--days {given.days}: use a number from 0 on; 0 means that it never ends"
        )
    holder = Holder(
        tenant=given.tenant,
        name=given.name,
        roles=frozenset(given.role),
        kind=Kind(given.kind),
        pool=given.pool,
    )
    now_us = _now_us()
    record, shown = tokens.new_token(
        holder,
        created_by=_CREATED_BY,
        now_us=now_us,
        expire_us=now_us + given.days * _DAY_US if given.days else 0,
    )
    _make_tenant(store, given.tenant)
    store.add_token(record)
    print(shown)


def _make_tenant(store: Store, name: str) -> None:
    record = TenantRecord(name=name, enabled=True, create_us=_now_us(), created_by=_CREATED_BY)
    checked_tenants.check(record)
    if store.find_tenant(name) is None:
        store.put_tenant(record)
        print(f"Made tenant {name}.", file=sys.stderr)


def _unknown(store: Store, _given: argparse.Namespace) -> None:
    for name in store.unknown_tenants():
        print(name)


def _now_us() -> int:
    return time.time_ns() // 1_000


if __name__ == "__main__":
    main()
