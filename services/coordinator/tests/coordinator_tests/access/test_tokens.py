"""What a token may say, and what is kept of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kaon_coordinator.access.__main__ import main
from kaon_coordinator.access.tokens import Holder, new_token
from kaon_coordinator.problems import InvalidRequest
from kaon_coordinator.store.sql import open_store
from kaon_service.roles import Kind
from kaonapi.workflow.v1 import definition_pb2

ANN = Holder(tenant="blue", name="ann", roles=["author", "viewer"])


def test_the_secret_of_a_token_is_not_kept() -> None:
    record, shown = new_token(ANN, created_by="root", now_us=5, expire_us=0)
    prefix, token_id, secret = shown.split("_")
    assert (prefix, token_id) == ("kaon", record.token_id)
    assert len(secret) == 64
    assert secret not in repr(record)
    assert record.digest == hashlib.sha256(shown.encode()).hexdigest()
    assert (record.roles, record.created_by) == (("author", "viewer"), "root")
    assert new_token(ANN, created_by="root", now_us=5, expire_us=0)[1] != shown


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        (Holder(tenant="blue", name="", roles=["viewer"]), "1 to 200 printable"),
        (Holder(tenant="blue", name="ann"), "at least one role"),
        (Holder(tenant="blue", name="ann", roles=["a,b"]), "role 'a,b'"),
        (Holder(tenant="blue", name="ann", roles=[f"r{n}" for n in range(51)]), "at most 50"),
        (Holder(tenant="blue", name="ann", roles=["viewer"], pool="gpu"), "only the token of a"),
        (Holder(tenant="blue", name="r", kind=Kind.RUNNER), "names its pool"),
        (Holder(tenant="blue", name="r", kind=Kind.RUNNER, pool="g", roles=["viewer"]), "no roles"),
        (Holder(tenant="blue", name="s", kind=Kind.SERVICE), "KAON_SERVICE_KEYS"),
    ],
)
def test_what_a_token_cannot_be_is_told(holder: Holder, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        new_token(holder, created_by="root", now_us=5, expire_us=0)


def test_a_token_does_not_end_before_it_begins() -> None:
    with pytest.raises(InvalidRequest, match="ended already"):
        new_token(ANN, created_by="root", now_us=5, expire_us=5)


def test_the_first_token_is_made_in_the_database_together_with_its_tenant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/kaon.db"
    main(["--database", url, "token", "--name", "root", "--role", "platform-admin"])
    shown = capsys.readouterr().out.strip()
    store = open_store(url)
    token = store.find_token(shown.split("_")[1])
    assert token is not None
    assert (token.tenant, token.roles, token.created_by) == (
        "default",
        ("platform-admin",),
        "database",
    )
    assert token.expire_us == token.create_us + 90 * 86_400_000_000
    tenant = store.find_tenant("default")
    assert tenant is not None
    assert tenant.enabled
    for name in ("blue", "default"):
        store.put_workflow(name, definition_pb2.WorkflowDefinition(name="w"), "v", 1)
    store.close()
    main(["--database", url, "unknown"])
    assert capsys.readouterr().out == "blue\n"
    main(["--database", url, "tenant", "blue"])
    main(["--database", url, "unknown"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [["token", "--name", "x"], ["tenant", "Not-A-Name"], ["token", "--name", "x", "--days", "-1"]],
)
def test_what_is_refused_ends_with_code_1(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--database", f"sqlite:///{tmp_path}/kaon.db", *arguments])
    assert ended.value.code == 1
    assert "kaon-access: " in capsys.readouterr().err


def test_without_a_database_the_command_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAON_DATABASE", raising=False)
    with pytest.raises(SystemExit):
        main(["unknown"])
    assert "KAON_DATABASE" in capsys.readouterr().err


def test_an_administrator_gives_tenants_what_their_rows_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/kaon.db"
    store = open_store(url)
    definition = definition_pb2.WorkflowDefinition(name="w", code_bundle=f"sha256:{'a' * 64}")
    store.put_workflow("blue", definition, "v", 1)
    assert store.missing_grants("blue", {"a" * 64})
    main(["--database", url, "grants"])
    assert not store.missing_grants("blue", {"a" * 64})
    store.close()
