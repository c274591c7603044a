"""The closed system in containers: deploy/compose/secure.yml, its files and its tokens."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kaon.client import Client, Endpoints
from kaon.client.access import whoami
from kaon.client.errors import AccessDenied
from kaon_local.compose import compose
from kaon_local.errors import LocalError
from kaon_local.paths import ROOT
from kaon_local.ports import HOST
from kaon_local.secure import tokens
from kaon_local.secure.container_files import ContainerFiles
from kaon_local.secure.people import (
    ADMINISTRATOR,
    CLIENT_ID,
    CONSUMERS,
    PEOPLE,
    PLATFORM,
    TENANTS,
    USUAL,
    Holder,
    runner,
)
from kaon_wire.definitions.names import POOL_NAME
from kaon_wire.topics import Catalogue
from kaonapi.access.v1 import access_service_pb2 as a

STATE = ROOT / ".kaon" / "compose"
OVERRIDE = ROOT / "deploy" / "compose" / "secure.yml"
_DAYS = 30


def up() -> int:
    """Start the closed system in containers, and make tenants and tokens; returns the exit code."""
    made_files = make_files(STATE, int(os.environ.get("KAON_ISSUER_PORT", "7076")))
    environment = STATE / "secure.env"
    known = tokens.read_environment(environment)
    # Who can tell who calls, and what takes longest; the others start once, with their tokens.
    _compose_up(made_files, known, "gateway", "sql-server")
    server = f"{HOST}:{os.environ.get('KAON_API_PORT', '7070')}"
    # Clients in this process find the authority as others do.
    ca = str(made_files.files.ca)
    os.environ["KAON_TLS_CA"] = ca
    made = ensure(server, known, os.environ.get("KAON_POOL", "default"), _exec)
    tokens.write_environment(
        environment,
        {
            "KAON_SERVER": server,
            "KAON_PUBLISHER": f"{HOST}:{os.environ.get('KAON_PUBLISHER_PORT', '7071')}",
            "KAON_TLS_CA": ca,
            "KAON_OIDC_ISSUER": made_files.files.issuer_url,
            "KAON_OIDC_CLIENT_ID": CLIENT_ID,
            "KAON_TOKEN": made[USUAL.variable],
        }
        | made,
    )
    _compose_up(made_files, made)
    print(f"Kaon runs, closed. Who you can be: {environment}")
    return 0


def down() -> int:
    """Stop the closed system in containers; returns the exit code."""
    env = {"KAON_CONTAINERS": str(STATE / "containers")}
    compose("-f", str(OVERRIDE), "down", "--remove-orphans", env=env)
    return 0


def make_files(state: Path, issuer_port: int) -> ContainerFiles:
    """Make certificates, keys and passwords, and give each container its own.

    Raises:
        LocalError: They cannot be given to the users of the images.
    """
    made = ContainerFiles(directory=state, catalogue=Catalogue(), issuer_port=issuer_port)
    try:
        made.make()
    except PermissionError as error:
        raise LocalError(
            f"only root gives the users of the images their files in {made.containers}: "
            "sudo make up SECURE=1"
        ) from error
    return made


def variables_of(made: ContainerFiles, tokens_known: Mapping[str, str]) -> dict[str, str]:
    """Return what secure.yml must be told.

    Args:
        made: The files of its containers.
        tokens_known: Tokens by their variables; those that are not made yet are missing.
    """
    return {"KAON_CONTAINERS": str(made.containers)} | {
        holder.variable: tokens_known.get(holder.variable, "")
        for holder in (*CONSUMERS, runner("default"))
    }


def _compose_up(made: ContainerFiles, known: Mapping[str, str], *services: str) -> None:
    env = variables_of(made, known)
    compose("-f", str(OVERRIDE), "up", "--detach", "--wait", *services, env=env)


def ensure(
    server: str, known: dict[str, str], pool: str, execute: Callable[..., str]
) -> dict[str, str]:
    """Make the tenants and tokens that are missing, and return all tokens by their variables.

    Args:
        server: host:port of the API.
        known: Tokens of an earlier start.
        pool: The runners' pool.
        execute: Executes a command in a coordinator's container, and returns its output.
    """
    if not POOL_NAME.match(pool):
        raise LocalError(f"KAON_POOL {pool!r} is no name of a pool")
    administrator = known.get(ADMINISTRATOR.variable, "")
    if not administrator or not _counts(server, administrator):
        administrator, known = _first_token(execute), {}
    made = {ADMINISTRATOR.variable: administrator}
    os.environ["KAON_TOKEN"] = administrator
    with _acting(server, PLATFORM) as client:
        for tenant in TENANTS:
            if client.access.tenant(tenant) is None:
                client.access.put_tenant(a.Tenant(name=tenant, enabled=True))
    for tenant in (*TENANTS, PLATFORM):
        with _acting(server, tenant) as client:
            for holder in (*PEOPLE, *CONSUMERS, runner(pool)):
                if holder.tenant == tenant:
                    made[holder.variable] = known.get(holder.variable) or _made(client, holder)
    return made


def _acting(server: str, tenant: str) -> Client:
    """Return a client of the platform's administrator in a tenant."""
    told = os.environ | {"KAON_SERVER": server, "KAON_TENANT": tenant}
    return Client(Endpoints.from_environment(told))


def _made(client: Client, holder: Holder) -> str:
    answer = client.access.create_token(
        holder.name,
        [holder.role] if holder.role else [],
        kind=holder.kind,
        pool=holder.pool,
        expires=datetime.now(UTC) + timedelta(days=_DAYS),
    )
    return answer.secret


def _counts(server: str, token: str) -> bool:
    try:
        whoami(server, token)
    except AccessDenied:
        return False
    return True


def _first_token(execute: Callable[..., str]) -> str:
    module = ("python", "-m", "kaon_coordinator.access", "token")
    who = ("--tenant", PLATFORM, "--name", ADMINISTRATOR.name, "--role", ADMINISTRATOR.role)
    days = ("--days", str(_DAYS))
    return execute(*module, *who, *days).strip()


def _exec(*words: str) -> str:
    # Nothing starts anew, but compose wants to know all that the file names.
    env = {"KAON_CONTAINERS": str(STATE / "containers")}
    return compose("-f", str(OVERRIDE), "exec", "-T", "coordinator", *words, env=env)
