"""A closed coordinator as its administrators and users meet it: by the command line, over TLS, with tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kaon.cli.main import execute
from kaon.client import Client, Endpoints, Patience, Unavailable
from kaon_coordinator.bootstrap import Application
from kaon_coordinator.settings import settings_from
from kaon_coordinator.transport.memory import MemoryGroup, MemoryTransport
from kaon_local.secure.closed import Closed, close
from kaon_local.secure.people import ADMINISTRATOR, USUAL, Holder
from kaon_service.roles import Role
from kaon_service.thread import ApplicationThread
from kaon_wire.memory import MemoryBroker
from kaon_wire.topics import Catalogue

BLUE_VIEWER = Holder(tenant="blue", role=Role.VIEWER)
BLUE_ADMIN = Holder(tenant="blue", role=Role.TENANT_ADMIN)
GREEN_AUTHOR = Holder(tenant="green", role=Role.AUTHOR)
FILE = """
from kaon import Workflow, steps

workflow = Workflow("quiet", steps.shell("wait", argv=["true"]))
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A closed coordinator without runners, and whose token the command line shows."""

    closed: Closed
    workflow: Path
    be: Callable[[Holder | str], None]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Closed, str]]:
    """The coordinator, and its address."""
    state = tmp_path_factory.mktemp("closed")
    database = f"sqlite:///{state}/kaon.db"
    made = close(
        state / "access",
        database=database,
        environment_file=state / "secure.env",
        issuer_port=7076,
        pool="default",
    )
    catalogue = Catalogue(run_partitions=1, pool_partitions=1, runner_partitions=1)
    settings = settings_from(
        made.files.auditors
        | {
            "KAON_DATABASE": database,
            "KAON_ADDRESS": "127.0.0.1:0",
            "KAON_ARTIFACTS": (state / "artifacts").as_uri(),
            "KAON_DURABILITY": "relaxed",
            "KAON_RUN_PARTITIONS": "1",
            "KAON_POOL_PARTITIONS": "1",
            "KAON_RUNNER_PARTITIONS": "1",
        }
    )

    def make() -> Application:
        broker = MemoryBroker(catalogue.topics())
        return Application(settings, MemoryTransport(MemoryGroup(broker)))

    thread = ApplicationThread("closed", make)
    port = thread.start()
    yield made, f"127.0.0.1:{port}"
    thread.stop()


@pytest.fixture
def place(closed: tuple[Closed, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The command line of somebody who has sourced the environment file."""
    made, address = closed
    workflow = tmp_path / "quiet.py"
    workflow.write_text(FILE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("KAON_SERVER", address)
    monkeypatch.setenv("KAON_TLS_CA", str(made.files.ca))

    def be(holder: Holder | str) -> None:
        token = holder if isinstance(holder, str) else made.tokens[holder.variable]
        monkeypatch.setenv("KAON_TOKEN", token)

    be(USUAL)
    return Place(closed=made, workflow=workflow, be=be)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Runs a command; returns its exit code, and what it prints, without what the coordinator in this process logs there."""
    capsys.readouterr()
    code = execute(words)
    told = capsys.readouterr()
    lines = [line for line in told.out.splitlines(keepends=True) if "[info " not in line]
    return code, "".join(lines), told.err


def test_another_tenant_sees_nothing_and_a_viewer_submits_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(place.workflow)
    assert run(capsys, "submit", file)[0] == 0
    assert "quiet" in run(capsys, "list")[1]
    place.be(BLUE_VIEWER)
    assert "quiet" in run(capsys, "list")[1]
    code, _, problem = run(capsys, "submit", file)
    assert (code, "needs role author" in problem) == (1, True)
    place.be(GREEN_AUTHOR)
    assert "quiet" not in run(capsys, "list")[1]


@pytest.mark.parametrize("token", ["", "kaon_0123_unknown", "x"])
def test_without_a_valid_token_nobody_is_told_which_part_was_wrong(
    place: Place, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place.be(token)
    code, shown, problem = run(capsys, "list")
    assert (code, "quiet" in shown) == (1, False)
    assert problem == (
        "kaon: the call shows no valid credentials. Log in with `kaon login`, or set KAON_TOKEN\n"
    )


def test_a_client_without_tls_is_told_of_it(closed: tuple[Closed, str]) -> None:
    _, address = closed
    plain = Client(Endpoints(server=address), patience=Patience(total=0))
    with plain, pytest.raises(Unavailable, match="or KAON_TLS_CA where it speaks TLS"):
        plain.workflows()


def test_a_token_is_made_listed_used_and_revoked(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.be(BLUE_ADMIN)
    _, secret, told = run(capsys, "tokens", "create", "nightly", "--role", "operator")
    token_id = secret.split("_")[1]
    assert f"Made token {token_id} for nightly, valid until " in told
    code, listed, _ = run(capsys, "tokens", "list")
    assert code == 0
    assert token_id in listed
    assert secret.strip() not in listed
    place.be(secret.strip())
    assert run(capsys, "whoami")[1] == (
        "nightly of tenant blue, roles operator, viewer, known by a static token\n"
    )
    code, _, problem = run(capsys, "tokens", "create", "more", "--role", "viewer")
    assert (code, "needs role tenant-admin" in problem) == (1, True)
    place.be(BLUE_ADMIN)
    # A whole token stands for its id.
    assert run(capsys, "tokens", "revoke", secret.strip())[0] == 0
    assert "revoked " in run(capsys, "tokens", "list")[1]
    code, _, problem = run(capsys, "tokens", "create", "root", "--role", "platform-admin")
    assert (code, "nobody gives a role" in problem) == (1, True)


def test_tenants_are_made_and_changed_by_the_platforms_administrator_alone(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.be(BLUE_ADMIN)
    code, _, problem = run(capsys, "tenants", "put", "red")
    assert (code, "needs role platform-admin" in problem) == (1, True)
    assert run(capsys, "tenants", "list", "--json")[1].count("\n") == 1
    place.be(ADMINISTRATOR)
    words = ("tenants", "put", "red", "--highest-priority", "5", "--topic", "arrivals")
    assert run(capsys, *words)[1] == "Made tenant red.\n"
    assert run(capsys, "tenants", "put", "red", "--disable")[0] == 0
    found = [json.loads(line) for line in run(capsys, "tenants", "list", "--json")[1].splitlines()]
    assert [each["name"] for each in found] == ["blue", "green", "platform", "red"]
    red = found[-1]
    assert (red["enabled"], red["highest_priority"], red["topics"]) == (False, 5, ["arrivals"])


def test_the_platforms_administrator_acts_in_every_tenant_and_others_do_not(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "submit", str(place.workflow))
    monkeypatch.setenv("KAON_TENANT", "blue")
    place.be(ADMINISTRATOR)
    assert "quiet" in run(capsys, "list")[1]
    place.be(GREEN_AUTHOR)
    code, shown, problem = run(capsys, "list")
    assert (code, "quiet" in shown) == (1, False)
    assert "role platform-admin" in problem
