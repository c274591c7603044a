"""An open system becomes a closed one, and its keys and passwords rotate, while runs go on: docs/closing.md, step by step."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psycopg
import psycopg.sql
import pytest
import trustme
from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialUpsertion
from support import gauge, load, until

from kaon.client import Client, Endpoints, RunHandle
from kaon.client.errors import AccessDenied
from kaon_coordinator.create_topics import grant_rights
from kaon_local import probes
from kaon_local.ports import free_port, listening
from kaon_local.postgres import Postgres, temporary_postgres
from kaon_local.secure.closed import close
from kaon_local.secure.files import write_private
from kaon_local.secure.kafka_accounts import user_of
from kaon_local.service import Service
from kaon_local.system import System, SystemConfig
from kaon_service.kafka_security import KafkaSecurity
from kaon_wire.topic_rights import COORDINATOR, VIEW, runner
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
# Long enough that each change finds some of them in the middle.
STEPS, SECONDS = 24, 2.0
# The coordinator's role in the database, and its next one.
ROLES = ("kaon_first", "kaon_second")


@dataclass(kw_only=True)
class Place:
    """A system, closed as far as the test has come, and the runs that go on in it."""

    system: System
    database: Postgres
    authority: trustme.CA
    # What each service is told when everything is closed.
    told: dict[str, dict[str, str]]
    runs: list[RunHandle] = field(default_factory=list)

    @property
    def access(self) -> Path:
        """Where certificates and keys lie."""
        assert self.system.config.closed is not None
        return self.system.config.closed.files.directory

    def client(self, token: str = "", tenant: str = "") -> Client:
        """A client of somebody; an open system wants no token."""
        os.environ["KAON_TOKEN"] = token
        known = {"KAON_SERVER": self.system.api, "KAON_TENANT": tenant}
        if token:
            known["KAON_TLS_CA"] = str(self.access / "ca.pem")
        return Client(Endpoints.from_environment(os.environ | known))

    def restart(self, service: Service, **changed: str) -> None:
        """Restarts a service as a closed one, with further variables."""
        env = self.told[service.name] | changed
        probe = service.config.probe
        if service.name == "coordinator":
            probe = partial(probes.grpc_serving, env["KAON_ADDRESS"], ca=Path(env["KAON_TLS_CA"]))
        service.config = replace(service.config, env=env, probe=probe)
        service.restart()

    def restart_all(self) -> None:
        """Restarts all services one by one."""
        for service in (self.system.coordinator, *self.system.runners):
            self.restart(service)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An open system whose broker listens for both; the files for closing it are made already."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("KAON_TOKEN", "")
    authority = trustme.CA()
    access = tmp_path / "access"
    access.mkdir()
    certify(access, authority)
    authority.cert_pem.write_to_path(access / "ca.pem")
    with temporary_postgres(durable=False, tls=True) as database:
        prepare(database)
        yield from begun(tmp_path, database, authority)


def begun(state: Path, database: Postgres, authority: trustme.CA) -> Iterator[Place]:
    """The system, when it has started."""
    closed = close(
        state / "access",
        database=database.url,
        environment_file=state / "secure.env",
        issuer_port=free_port(),
        pool="default",
    )
    config = SystemConfig(
        database=database.url_of(ROLES[0]),
        state=state,
        kept=False,
        runners=2,
        engines=False,
        docker=False,
        publisher=False,
        closed=closed,
        # What runs finishes before its runner goes.
        env={"KAON_DRAIN_SECONDS": "20"},
    )
    system = System(config, report=print)
    system.kafka.config = replace(system.kafka.config, open_port=free_port())
    services = (system.coordinator, *system.runners)
    told = {each.name: dict(each.config.env) for each in services}
    for service in services:
        service.config = replace(service.config, env=opened(system, service))
    coordinator = system.coordinator
    probe = partial(probes.grpc_serving, coordinator.config.env["KAON_ADDRESS"])
    coordinator.config = replace(coordinator.config, probe=probe)
    with system:
        yield Place(system=system, database=database, authority=authority, told=told)


def prepare(database: Postgres) -> None:
    """Gives two roles that own nothing what coordinators need."""
    with psycopg.connect(libpq(database), autocommit=True) as connection:
        for role in ROLES:
            connection.execute(psycopg.sql.SQL("create role {} login").format(identifier(role)))
    argv = [sys.executable, "-m", "kaon_coordinator.prepare_database"]
    writers = [word for role in ROLES for word in ("--writer", role)]
    env = os.environ | {"KAON_DATABASE": database.url}
    subprocess.run([*argv, *writers], check=True, env=env, timeout=100)


def libpq(database: Postgres) -> str:
    """Where the database is, without the name of a driver."""
    return database.url.replace("+psycopg", "")


def identifier(role: str) -> psycopg.sql.Identifier:
    """A role in a statement."""
    return psycopg.sql.Identifier(role)


def certify(access: Path, authority: trustme.CA) -> None:
    """Gives the services a new certificate and its key."""
    made = authority.issue_cert("127.0.0.1", "localhost")
    write_private(access / "server.key", made.private_key_pem.bytes().decode())
    write_private(access / "server.pem", made.cert_chain_pems[0].bytes().decode())


def opened(system: System, service: Service) -> dict[str, str]:
    """What a service of an open system is told."""
    assert system.lines is not None
    assert system.config.closed is not None
    account = COORDINATOR if service.name == "coordinator" else runner("default")
    unknown = (
        system.lines.variables(account).keys()
        | system.config.closed.files.auditors.keys()
        | {"KAON_TOKEN"}
    )
    address = f"127.0.0.1:{system.kafka.config.open_port}"
    kept = {name: value for name, value in service.config.env.items() if name not in unknown}
    return kept | {"KAON_KAFKA": address}


def begin(place: Place, client: Client, count: int) -> None:
    """Submits runs that are in the middle of their steps for a while."""
    flow = load("containers/workflow.py", "fan_out")
    params = {"count": STEPS, "seconds": SECONDS}
    place.runs += [client.submit(flow, params) for _ in range(count)]


def kaon_access(place: Place, *words: str) -> str:
    """What `python -m kaon_coordinator.access` says."""
    argv = [sys.executable, "-m", "kaon_coordinator.access", *words]
    env = os.environ | {"KAON_DATABASE": place.database.url}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env, timeout=100)
    return done.stdout.strip()


def certificate(place: Place) -> str:
    """The certificate that the coordinator shows."""
    host, port = place.system.api.rsplit(":", 1)
    return ssl.get_server_certificate((host, int(port)), ca_certs=str(place.access / "ca.pem"))


def ended_well(place: Place, token: str) -> None:
    """All runs end well, and no step of theirs was tried a second time."""
    with place.client(token, "default") as client:
        for begun in place.runs:
            run = client.handle(begun.run_id).wait(240)
            assert run.status == "SUCCEEDED", run.refresh().error
            assert {step.attempt for step in run.steps} == {1}
    place.runs.clear()


def test_a_system_closes_and_its_keys_rotate_while_runs_go_on(place: Place) -> None:
    system = place.system
    with place.client(tenant="default") as client:
        begin(place, client, 3)
    # Tenants, and the first token.
    assert kaon_access(place, "unknown") == "default"
    kaon_access(place, "tenant", "default")
    kaon_access(place, "grants")
    root = kaon_access(
        *(place, "token", "--role", "platform-admin", "--tenant", "default", "--name", "root")
    )
    # Services, over closed lines: the coordinator first, then runners one by one.
    place.restart(system.coordinator, KAON_LEASE_TOKENS="optional")
    with place.client("kaon_guessed") as stranger, pytest.raises(AccessDenied):
        stranger.runs()
    with place.client(root, "default") as client:
        begin(place, client, 2)
    next_key = announce_command_key(place)
    for each in system.runners:
        place.restart(each)
    place.restart(system.coordinator)
    # The broker's old listener goes: who still came by it would notice.
    port = system.kafka.config.open_port
    system.kafka.config = replace(system.kafka.config, open_port=0)
    system.kafka.restart()
    assert not listening(port)
    ended_well(place, root)

    with place.client(root, "default") as client:
        begin(place, client, 4)
        rotate_certificate(place)
        rotate_keys(place, "service-keys")
        next_pool_key = announce_pool_key(place)
        place.told["coordinator"]["KAON_COMMAND_KEY"] = str(next_key)
        rotate_keys(place, "lease-keys")
        assert client.access.whoami().name == "root"
    rotate_kafka_accounts(place)
    place.told["coordinator"]["KAON_DATABASE"] = place.database.url_of(ROLES[1])
    lines = system.config.state / "lines"
    # Runners are told the new keys alone, and then coordinators.
    write_private(lines / "command-public.pem", public_text(next_key))
    write_private(lines / "pool-key-default", next_pool_key)
    place.restart_all()
    write_private(lines / "pool-keys", f"default {next_pool_key}")
    with psycopg.connect(libpq(place.database), autocommit=True) as connection:
        for statement in ("drop owned by {}", "drop role {}"):
            connection.execute(psycopg.sql.SQL(statement).format(identifier(ROLES[0])))
    ended_well(place, root)
    obeys_a_command(place, root)


def announce_command_key(place: Place) -> Path:
    """Makes the coordinators' next key, and lets runners know its public half beside the old one."""
    lines = place.system.config.state / "lines"
    key, public = lines / "command-next.pem", lines / "command-public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
    write_private(public, public.read_text() + public_text(key))
    return key


def public_text(key: Path) -> str:
    """The public half of a key."""
    argv = ["openssl", "pkey", "-in", str(key), "-pubout"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def announce_pool_key(place: Place) -> str:
    """Makes the next key of the pool, and lets coordinators know it beside the old one."""
    known = place.system.config.state / "lines" / "pool-keys"
    key = new_key() + "\n"
    write_private(known, known.read_text() + f"default {key}")
    return key


def obeys_a_command(place: Place, token: str) -> None:
    """The runners know the coordinator's new key alone, and it theirs: nothing is dropped on either side."""
    with place.client(token, "default") as client:
        flow = load("containers/workflow.py", "fan_out")
        run = client.submit(flow, {"count": 2, "seconds": 3600.0})
        until(
            lambda: any(step.status == run_pb2.STATUS_RUNNING for step in run.steps),
            seconds=60,
            what="a step runs",
        )
        run.cancel("the test is over")
        assert run.wait(120).status == "CANCELLED"
    for name in ("step-runner-1", "step-runner-2"):
        assert gauge(place.system, name, "kaon_runner_dropped_commands_total") == 0
    assert gauge(place.system, "coordinator", "kaon_unproven_heartbeats") == 0


def new_key() -> str:
    """A symmetric key, as documents say that one is made."""
    argv = ["openssl", "rand", "-base64", "32"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def rotate_certificate(place: Place) -> None:
    """Nothing is restarted."""
    before = certificate(place)
    certify(place.access, place.authority)
    until(lambda: certificate(place) != before, seconds=30, what="the new certificate is shown")


def rotate_keys(place: Place, name: str) -> None:
    """The new key is known, then the first. Nothing is restarted."""
    directory = place.access if name == "service-keys" else place.system.config.state / "lines"
    file = directory / name
    old = file.read_text().strip()
    new = new_key()
    for count, lines in enumerate(((old, new), (new, old)), 1):
        write_private(file, "".join(f"{each}\n" for each in lines))
        if name == "lease-keys":
            until(
                lambda count=count: read_again(place, name) >= count,
                seconds=30,
                what=f"the coordinator has read {name} again",
            )


def read_again(place: Place, name: str) -> int:
    """How often the coordinator has told that it reads a file again."""
    log = place.system.coordinator.log.read_text()
    return sum("read again" in line and name in line for line in log.splitlines())


def rotate_kafka_accounts(place: Place) -> None:
    """Second accounts with the same rights, for services that are restarted one by one."""
    system = place.system
    assert system.lines is not None
    accounts = (COORDINATOR, VIEW, runner("default"))
    security = KafkaSecurity.read(system.kafka.account("administrator"))
    admin = KafkaAdminClient(bootstrap_servers=system.kafka.address, **security.arguments)
    try:
        for account in accounts:
            name = user_of(account).replace("kaon-", "kaon2-")
            file = system.config.state / f"{name}.password"
            file.write_text(f"new-{account}")
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, f"new-{account}")]
            )
            for service, told in place.told.items():
                own = COORDINATOR if service == "coordinator" else runner("default")
                if own == account:
                    told |= {"KAON_KAFKA_USER": name, "KAON_KAFKA_PASSWORD_FILE": str(file)}
        grant_rights(system.kafka.address, system.catalogue, "User:kaon2-{account}", security)
    finally:
        admin.close()
