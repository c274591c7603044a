"""What a closed system is made of: kept from start to start, for its owner alone, and understood by the services."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

from kaon_coordinator.access.token_sources import static_token
from kaon_coordinator.store.sql import open_store
from kaon_local.compose import compose
from kaon_local.paths import ROOT
from kaon_local.secure import tokens
from kaon_local.secure.closed import Closed, close
from kaon_local.secure.files import Files
from kaon_local.secure.lines import Lines
from kaon_local.secure.people import ADMINISTRATOR, PEOPLE, TENANTS, USUAL, runner
from kaon_service.access.access_settings import access_from
from kaon_service.access.building import guard_of, service_keys
from kaon_service.access.credentials import Credentials, StaticToken
from kaon_service.access.rates import UNLIMITED
from kaon_service.access.recording import NoRecorder
from kaon_service.command_signatures import CommandSigner, CommandVerifier
from kaon_service.kafka_security import KafkaSecurity
from kaon_service.roles import Kind
from kaon_wire import topic_rights
from kaon_wire.lease_tokens import LeaseKeys
from kaon_wire.topic_rights import COORDINATOR, PUBLISHER, VIEW
from kaon_wire.topics import Catalogue


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
    assert LeaseKeys.read(lines.variables(COORDINATOR)) is not None
    assert LeaseKeys.read(lines.variables(PUBLISHER)) is not None
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


def test_containers_get_no_key_that_they_do_not_need(tmp_path: Path) -> None:
    """As compose itself understands both files."""
    made = Files(directory=tmp_path / "access", names=("coordinator",))
    made.make()
    Lines(made.directory, Catalogue()).make()
    shown = compose(
        "-f",
        str(ROOT / "deploy" / "compose" / "secure.yml"),
        "config",
        "--format",
        "json",
        env={"KAON_ACCESS": str(made.directory), "KAON_POSTGRES_PASSWORD": "x"},
    )
    services = json.loads(shown)["services"]
    keys = {
        name: {
            Path(each["target"]).name
            for each in service.get("volumes", ())
            if each["target"].startswith("/etc/kaon/access/")
        }
        for name, service in services.items()
    }
    assert keys["step-runner"] == {"ca.pem", "command-public.pem"}
    assert keys["consumer"] == {"ca.pem"}
    assert "command.pem" in keys["coordinator"]
    assert not any("command.pem" in found for name, found in keys.items() if name != "coordinator")
    for name, found in keys.items():
        assert all((made.directory / each).exists() for each in found)
        if "service-keys" in found:
            assert services[name]["environment"]["KAON_AUTH"] == "on"
            access_from(
                {
                    variable: str(value)
                    for variable, value in services[name]["environment"].items()
                    if variable.startswith(("KAON_AUTH", "KAON_TLS", "KAON_SERVICE"))
                }
            )
    assert {name for name, found in keys.items() if "service-keys" in found} == {
        "console",
        "coordinator",
        "model-publisher",
        "view",
    }
