"""The closed system in containers: deploy/compose/secure.yml, its files and its tokens."""

import os
import shutil
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
from kaon_local.secure.files import Files
from kaon_local.secure.lines import Lines
from kaon_local.secure.people import (
    ADMINISTRATOR,
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
# The user of the images.
_USER = 10001
_NAMES = ("coordinator", "gateway", "model-publisher", "view", "console")
_DAYS = 30


def up() -> int:
    """Start the closed system in containers, and make tenants and tokens; returns the exit code."""
    access = make_files(STATE / "access")
    environment = STATE / "secure.env"
    known = tokens.read_environment(environment)
    _compose_up(access, known)
    server = f"{HOST}:{os.environ.get('KAON_API_PORT', '7070')}"
    # Clients in this process find the authority as others do.
    os.environ["KAON_TLS_CA"] = str(STATE / "ca.pem")
    made = _ensure(server, known, os.environ.get("KAON_POOL", "default"))
    tokens.write_environment(
        environment,
        {
            "KAON_SERVER": server,
            "KAON_PUBLISHER": f"{HOST}:{os.environ.get('KAON_PUBLISHER_PORT', '7071')}",
            "KAON_TLS_CA": str(STATE / "ca.pem"),
            "KAON_TOKEN": made[USUAL.variable],
        }
        | made,
    )
    # Runners and consumers start again with their tokens, if those are new.
    _compose_up(access, made)
    print(f"Kaon runs, closed. Who you can be: {environment}")
    return 0


def make_files(access: Path) -> Path:
    """Make certificates and keys, for the user of the images alone; return their directory.

    Raises:
        LocalError: They cannot be given to that user.
    """
    files = Files(directory=access, names=_NAMES)
    files.make()
    Lines(access, Catalogue()).make()
    shutil.copyfile(files.ca, access.parent / "ca.pem")
    try:
        for path in (access, *access.iterdir()):
            os.chown(path, _USER, _USER)
    except PermissionError as error:
        raise LocalError(
            f"the user of the images must own what is in {access}: sudo chown -R {_USER}:{_USER} {access}"
        ) from error
    return access


def _compose_up(access: Path, variables: dict[str, str]) -> None:
    override = ROOT / "deploy" / "compose" / "secure.yml"
    wanted = {"KAON_ACCESS": str(access)} | {
        holder.variable: variables.get(holder.variable, "")
        for holder in (*CONSUMERS, runner("default"))
    }
    compose("-f", str(override), "up", "--detach", "--wait", env=wanted)


def _ensure(server: str, known: dict[str, str], pool: str) -> dict[str, str]:
    """Make the tenants and tokens that are missing."""
    if not POOL_NAME.match(pool):
        raise LocalError(f"KAON_POOL {pool!r} is no name of a pool")
    administrator = known.get(ADMINISTRATOR.variable, "")
    if not administrator or not _counts(server, administrator):
        administrator, known = _first_token(), {}
    made = {ADMINISTRATOR.variable: administrator}
    os.environ["KAON_TOKEN"] = administrator
    for tenant in (*TENANTS, PLATFORM):
        with Client(Endpoints(server=server, tenant=tenant)) as client:
            if client.access.tenant(tenant) is None:
                client.access.put_tenant(a.Tenant(name=tenant, enabled=True))
            for holder in (*PEOPLE, *CONSUMERS, runner(pool)):
                if holder.tenant == tenant:
                    made[holder.variable] = known.get(holder.variable) or _made(client, holder)
    return made


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


def _first_token() -> str:
    module = ("python", "-m", "kaon_coordinator.access", "token")
    who = ("--tenant", PLATFORM, "--name", ADMINISTRATOR.name, "--role", ADMINISTRATOR.role)
    days = ("--days", str(_DAYS))
    return compose("exec", "-T", "coordinator", *module, *who, *days).strip()
