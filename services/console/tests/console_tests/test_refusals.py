"""The page is told which commands would be refused, and every command that it sends is asked about before it is offered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from kaon_console.methods import METHODS, Access
from kaon_console.refusals import NEEDS, refused
from kaon_local.paths import ROOT
from kaon_service.principal import ROLES_KEY, Principal
from kaon_service.roles import Role, included
from kaonapi.access.v1 import access_service_pb2 as a

from .serving import FakeService, Served, on_a_thread, serving

_SOURCES = ROOT / "services/console/web/src"
COMMANDS = [name for name, method in METHODS.items() if method.access is Access.COMMAND]


def _holding(*roles: Role) -> Principal:
    return Principal(roles=included(roles), authentication="token")


def test_the_names_of_commands_tell_them_apart() -> None:
    assert len(NEEDS) == len(COMMANDS)


def test_who_only_looks_answers_approvals_and_nothing_else() -> None:
    assert NEEDS.keys() - refused(_holding(Role.VIEWER)).keys() == {"AnswerGate"}
    assert refused(_holding(Role.VIEWER))["CancelRun"] == "operator"
    assert refused(_holding(Role.VIEWER))["PutSchedule"] == "author"


def test_who_operates_lacks_what_authors_publishers_and_administrators_do() -> None:
    assert set(refused(_holding(Role.OPERATOR)).values()) == {"author", "publisher", "tenant-admin"}
    assert refused(_holding(Role.PLATFORM_ADMIN)) == {}


def test_without_authentication_nobody_lacks_a_role() -> None:
    assert refused(Principal(roles=frozenset({"viewer"}))) == {}


async def _who_am_i(_request: bytes, context: Any) -> bytes:
    """As a coordinator that authenticates: the roles are those that a console signs for."""
    roles = dict(context.invocation_metadata())[ROLES_KEY].split(",")
    if "unknown" in roles:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid credentials")
    caller = a.Caller(tenant="team", name="somebody", roles=roles, authentication="service")
    return a.WhoAmIResponse(caller=caller).SerializeToString()


@pytest.fixture(scope="module")
def closed(console: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console before a coordinator that authenticates."""
    service = FakeService({"kaonapi.access.v1.AccessService/WhoAmI": _who_am_i}, {})
    with on_a_thread(service) as (port, _):
        state = tmp_path_factory.mktemp("closed")
        settings = replace(console.settings, server=f"127.0.0.1:{port}", state=state)
        with serving(settings) as served:
            yield served


@pytest.mark.parametrize(
    ("role", "lacking"),
    [("viewer", "operator"), ("operator", None), ("unknown", None)],
)
def test_a_session_is_told_what_the_coordinator_would_refuse(
    closed: Served, role: str, lacking: str | None
) -> None:
    who = Principal(tenant="team", name="somebody", roles=frozenset({role}))
    told = closed.browser(who).get("/session").json
    assert told["refused"].get("CancelRun") == lacking


def test_a_session_stands_while_the_coordinator_is_away(console: Served) -> None:
    assert console.browser().get("/session").json["refused"] == {}


def _sources() -> Iterator[tuple[Path, str]]:
    for path in sorted(_SOURCES.rglob("*.ts*")):
        if "gen" not in path.parts and ".test." not in path.name:
            yield path, path.read_text(encoding="utf-8")


def test_every_command_of_the_page_is_asked_about_before_it_is_offered() -> None:
    """What calls a command is found by its name; `Commanding` and `useRefusal` name what they ask about."""
    texts = dict(_sources())
    assert texts
    sent, asked = set(), set()
    for name in NEEDS:
        call = re.compile(rf"\.{name[0].lower()}{name[1:]}\(")
        sent |= {name for text in texts.values() if call.search(text)}
        asked |= {name for text in texts.values() if f'"{name}"' in text}
    assert {"CancelRun", "SubmitRun", "ForkRun", "RecordDatasetUpdate"} <= sent
    assert sent - asked == set(), "wrap its buttons in <Commanding command=...>"
