"""Static tokens: how they are made, and what their holders show."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass

from kaon_coordinator.problems import InvalidRequest, Problem
from kaon_coordinator.store.records import TokenRecord
from kaon_service.principal import is_name, is_role
from kaon_service.roles import Kind
from kaon_wire.definitions.names import POOL_NAME, POOL_NAME_RULE

PREFIX = "kaon"
_ID_BYTES = 8
_SECRET_BYTES = 32
# Of one token: they travel with every call of services for its holder.
_MOST_ROLES = 50
# A service shows that it holds one of the services' keys, which no token can.
TOKEN_KINDS = (Kind.PERSON, Kind.RUNNER, Kind.CONSUMER)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Whom a token is to stand for."""

    tenant: str
    name: str
    roles: Collection[str] = ()
    kind: Kind = Kind.PERSON
    # The pool of a runner; empty for others.
    pool: str = ""


def check(holder: Holder) -> None:
    """Check what a token is to say.

    Raises:
        InvalidRequest: The error names all problems.
    """
    problems = []
    if not is_name(holder.name):
        text = "name: use 1 to 200 printable ASCII characters"
        problems.append(Problem(field="caller.name", text=text))
    for role in sorted(holder.roles):
        if not is_role(role):
            text = f"role {role!r}: use letters, digits, dots and hyphens"
            problems.append(Problem(field="caller.roles", text=text))
    if len(holder.roles) > _MOST_ROLES:
        text = f"{len(holder.roles)} roles: a token has at most {_MOST_ROLES}"
        problems.append(Problem(field="caller.roles", text=text))
    problems += _of_kind(holder)
    if problems:
        raise InvalidRequest("token", problems)


def _of_kind(holder: Holder) -> list[Problem]:
    """Return what the kind of a holder does not allow."""
    if holder.kind is Kind.SERVICE:
        text = "kind service: a service shows KAON_SERVICE_KEYS, and needs no token"
        return [Problem(field="caller.kind", text=text)]
    problems = []
    if holder.kind is Kind.RUNNER and not POOL_NAME.match(holder.pool):
        text = f"the token of a runner names its pool: {POOL_NAME_RULE}"
        problems.append(Problem(field="caller.pool", text=text))
    if holder.kind is not Kind.RUNNER and holder.pool:
        text = f"pool {holder.pool!r}: only the token of a runner has a pool"
        problems.append(Problem(field="caller.pool", text=text))
    if holder.kind is Kind.PERSON and not holder.roles:
        text = "the token of a person has at least one role, such as viewer"
        problems.append(Problem(field="caller.roles", text=text))
    if holder.kind is not Kind.PERSON and holder.roles:
        text = f"the token of a {holder.kind} has no roles: its kind says what it may do"
        problems.append(Problem(field="caller.roles", text=text))
    return problems


def new_token(
    holder: Holder, *, created_by: str, now_us: int, expire_us: int
) -> tuple[TokenRecord, str]:
    """Make a token; return what is kept of it, and the token as its holder shows it.

    Args:
        holder: Whom it stands for; `check` has passed.
        created_by: Who makes it.
        now_us: The time.
        expire_us: When it ends; 0 means never.

    Raises:
        InvalidRequest: The holder or the end is not valid.
    """
    check(holder)
    if expire_us and expire_us <= now_us:
        text = "the token would have ended already: name a later time"
        raise InvalidRequest("token", [Problem(field="expire_time", text=text)])
    token_id = secrets.token_hex(_ID_BYTES)
    shown = f"{PREFIX}_{token_id}_{secrets.token_hex(_SECRET_BYTES)}"
    record = TokenRecord(
        token_id=token_id,
        digest=hashlib.sha256(shown.encode()).hexdigest(),
        tenant=holder.tenant,
        name=holder.name,
        roles=tuple(sorted(holder.roles)),
        kind=holder.kind,
        pool=holder.pool,
        created_by=created_by,
        create_us=now_us,
        expire_us=expire_us,
    )
    return record, shown
