"""What a closed system is made of: kept from start to start, for its owner alone, and understood by the services."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.access.token_sources import static_token
from kaon_coordinator.store.sql import open_store
from kaon_local.compose import compose
from kaon_local.secure import tokens
from kaon_local.secure.closed import Closed, close
from kaon_local.secure.container_files import ContainerFiles
from kaon_local.secure.containers import OVERRIDE, variables_of
from kaon_local.secure.lines import Lines
from kaon_local.secure.people import ADMINISTRATOR, PEOPLE, TENANTS, USUAL, runner
from kaon_publisher.registry_access import RegistryAccess
from kaon_service.access.access_settings import access_from
from kaon_service.access.building import guard_of, service_keys
from kaon_service.access.credentials import Credentials, StaticToken
from kaon_service.access.lease_file import read_lease_keys
from kaon_service.access.rates import UNLIMITED
from kaon_service.access.recording import NoRecorder
from kaon_service.access.rules_file import read_rules
from kaon_service.command_signatures import CommandSigner, CommandVerifier
from kaon_service.kafka_security import KafkaSecurity
from kaon_service.roles import Kind
from kaon_wire import topic_rights
from kaon_wire.channels import ChannelSecurity
from kaon_wire.topic_rights import COORDINATOR, PUBLISHER, VIEW
from kaon_wire.topics import Catalogue

# Who migrates shares a directory, and so do brokers.
WANTED = {"database-models": "database", "kafka-2": "kafka", "kafka-3": "kafka"}


class _Everybody:
    """Tokens and tenants as the database has them."""

    def __init__(self, database: str) -> None:
        self._store = open_store(database)

    async def find(self, token_id: str) -> StaticToken | None:
        found = self._store.find_token(token_id)
        return None if found is None else static_token(found)

    async def is_enabled(self, name: str) -> bool:
        found = self._store.find_tenant(name)
        return found is not None and found.enabled

    def close(self) -> None:
        self._store.close()


def closed(place: Path) -> Closed:
    return close(
        place / "access",
        database=f"sqlite:///{place}/kaon.db",
        environment_file=place / "secure.env",
        issuer_port=7076,
        pool="default",
    )


def test_everything_is_for_its_owner_alone(tmp_path: Path) -> None:
    made = closed(tmp_path)
    made.write_environment({"KAON_SERVER": "127.0.0.1:7070"})
    files = [*made.files.directory.iterdir(), made.environment_file]
    assert len(files) > 6
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert stat.S_IMODE(made.files.directory.stat().st_mode) == 0o700


def test_a_second_start_finds_what_the_first_one_made(tmp_path: Path) -> None:
    first = closed(tmp_path)
    first.write_environment({})
    kept = {each: each.read_text() for each in first.files.directory.iterdir()}
    second = closed(tmp_path)
    assert second.tokens == first.tokens
    assert {each: each.read_text() for each in second.files.directory.iterdir()} == kept


def test_a_token_that_was_revoked_is_made_anew(tmp_path: Path) -> None:
    first = closed(tmp_path)
    first.write_environment({})
    store = open_store(f"sqlite:///{tmp_path}/kaon.db")
    store.revoke_token(USUAL.tenant, first.tokens[USUAL.variable].split("_")[1], 1)
    store.close()
    second = closed(tmp_path)
    changed = {name for name in first.tokens if first.tokens[name] != second.tokens[name]}
    assert changed == {USUAL.variable}


def test_a_shell_reads_what_was_written(tmp_path: Path) -> None:
    made = closed(tmp_path)
    made.write_environment({"KAON_SERVER": "127.0.0.1:7070"})
    command = f". {made.environment_file}; echo $KAON_SERVER $KAON_TOKEN $KAON_TLS_CA"
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [
        "127.0.0.1:7070",
        made.tokens["KAON_TOKEN_BLUE_AUTHOR"],
        str(made.files.ca),
    ]
    assert tokens.read_environment(tmp_path / "none") == {}


async def test_services_understand_all_that_they_are_told(tmp_path: Path) -> None:
    made = closed(tmp_path)
    settings = access_from(made.files.auditors)
    everybody = _Everybody(f"sqlite:///{tmp_path}/kaon.db")
    guard = guard_of(
        settings,
        tokens=everybody,
        tenants=everybody,
        recorder=NoRecorder(),
        rates=UNLIMITED,
    )
    assert guard.credentials is not None
    assert service_keys(settings) is not None
    lines = Lines(tmp_path / "lines", Catalogue())
    lines.make()
    lines.kafka.make()
    assert read_lease_keys(lines.variables(COORDINATOR)) is not None
    assert read_lease_keys(lines.variables(PUBLISHER)) is not None
    assert CommandSigner.read(lines.variables(COORDINATOR)) is not None
    told = lines.variables(topic_rights.runner("default"))
    assert CommandVerifier.read(told, pool="default") is not None
    for service in (COORDINATOR, PUBLISHER, VIEW, topic_rights.runner("default")):
        security = KafkaSecurity.read(lines.variables(service))
        assert (security.protocol, security.user) == ("SASL_SSL", f"kaon-{service}")
    secret = {"KAON_SERVICE_KEYS", "KAON_LEASE_KEYS", "KAON_COMMAND_KEY"}
    assert not secret & (made.runners | told).keys()
    for holder in (*PEOPLE, ADMINISTRATOR, runner("default")):
        shown = {"authorization": f"Bearer {made.tokens[holder.variable]}"}
        caller = await guard.admission.authenticate(Credentials(metadata=shown))
        assert (caller.tenant, caller.name, caller.kind) == (
            holder.tenant,
            holder.name,
            holder.kind,
        )
        assert not holder.role or holder.role in caller.roles
        assert holder.kind is Kind.PERSON or caller.pool == "default"
    assert [await everybody.is_enabled(each) for each in (*TENANTS, "other")] == [True, True, False]
    everybody.close()


def test_containers_get_no_key_that_they_do_not_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As compose itself understands both files."""
    owners: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(os, "chown", lambda path, *user: owners.update({str(path): user}))
    made = ContainerFiles(directory=tmp_path, catalogue=Catalogue(), issuer_port=7076)
    made.make()
    keys = {each.name: {file.name for file in each.iterdir()} for each in made.containers.iterdir()}
    services = _services(made)
    for name, service in services.items():
        mounted = [
            Path(each["source"]).name
            for each in service.get("volumes", ())
            if each["target"] == "/etc/kaon/access"
        ]
        wanted = WANTED.get(name, name)
        assert mounted == ([wanted] if wanted in keys else []), name
    assert keys["step-runner"] == {
        "ca.pem",
        "command-public.pem",
        "engine-tokens",
        "engines-ca.pem",
        "kafka-ca.pem",
        "kafka.password",
        "pool-key",
    }
    assert keys["consumer"] == {"ca.pem", "registry-ca.pem", "registry.password"}
    _one_alone_has(keys, "command.pem", {"coordinator"})
    _one_alone_has(keys, "registry.password", {"model-publisher", "consumer"})
    _one_alone_has(keys, "pool-keys", {"coordinator"})
    _one_alone_has(keys, "engine-tokens", {"step-runner"})
    _one_alone_has(keys, "service-keys", {"console", "coordinator", "model-publisher", "view"})
    read = [
        (made.containers / name / file).read_text()
        for name, found in keys.items()
        for file in found & {"kafka.password", "pgpass", "registry.password"}
    ]
    assert len(set(read)) == len(read), "each has passwords of its own"
    assert {user for _, user in owners.values()} == {1000, 10001}


def test_what_containers_are_told_is_what_services_understand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chown", lambda *_: None)
    made = ContainerFiles(directory=tmp_path, catalogue=Catalogue(), issuer_port=7076)
    made.make()
    for name, service in _services(made).items():
        told = {
            variable: str(value).replace(
                "/etc/kaon/access", str(made.containers / WANTED.get(name, name))
            )
            for variable, value in (service.get("environment") or {}).items()
        }
        if told.get("KAON_AUTH") == "on":
            rules = access_from(told).rules
            assert rules is not None
            issuers = read_rules(rules).issuers.values()
            assert [each.address for each in issuers] == ["https://issuer:7076"]
        if told.get("KAON_KAFKA_USER"):
            assert KafkaSecurity.read(told).protocol == "SASL_SSL"
        if told.get("KAON_TLS_CA"):
            assert ChannelSecurity.from_environment(told).tls, name
        if told.get("PGPASSFILE"):
            assert Path(told["PGPASSFILE"]).exists()
        if name == "model-publisher":
            assert RegistryAccess.read(told).user == "publisher"


def test_a_second_start_of_containers_finds_what_the_first_one_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that was deleted is made anew: so it rotates."""
    monkeypatch.setattr(os, "chown", lambda *_: None)

    def make() -> dict[str, str]:
        made = ContainerFiles(directory=tmp_path, catalogue=Catalogue(), issuer_port=7076)
        made.make()
        return {
            f"{each.parent.name}/{each.name}": each.read_text()
            for each in made.containers.glob("*/*")
        }

    first = make()
    assert make() == first
    (tmp_path / "access" / "postgres" / "kaon_view.pgpass").unlink()
    second = make()
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"view/pgpass", "postgres/roles.sql"}


def _services(made: ContainerFiles) -> Mapping[str, Any]:
    shown = compose(
        *("-f", str(OVERRIDE), "--profile", "ha", "config", "--format", "json"),
        env=variables_of(made, {}) | {"KAON_POSTGRES_PASSWORD": "x"},
    )
    services: Mapping[str, Any] = json.loads(shown)["services"]
    return services


def _one_alone_has(keys: Mapping[str, set[str]], file: str, owners: set[str]) -> None:
    assert {name for name, found in keys.items() if file in found} == owners
