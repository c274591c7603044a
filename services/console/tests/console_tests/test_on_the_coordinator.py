"""The console over a real coordinator with SQLite, in this process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kaon import load_workflow
from kaon.client import Client, Endpoints
from kaon_console.settings import BUILT_PAGES
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaon_service.principal import Principal
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.workflow.v1 import workflow_service_pb2

from .browser import Browser
from .serving import SOMEBODY, Served, serving

pytestmark = pytest.mark.slow

RUNS = "kaonapi.run.v1.RunService"
FILE = """
from kaon import Workflow, approval, steps

def work():
    print("hello")
    return {"n": 1}

workflow = Workflow("gated", steps.python("work", work, outputs={"n": int}) >> approval("ask", roles=["ml"]))
"""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A system, a console before it, and a run of somebody's tenant that waits for an approval."""

    system: EmbeddedSystem
    console: Served
    run_id: str
    state: Path


@pytest.fixture(scope="module")
def whole(console: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    state = tmp_path_factory.mktemp("whole")
    (state / "gated.py").write_text(FILE)
    workflow = load_workflow(state / "gated.py")
    with EmbeddedSystem(EmbeddedSettings(state=state / "kept", slots=1)) as system:
        settings = replace(console.settings, server=system.address, state=state / "console")
        with (
            Client(Endpoints(server=system.address, tenant=SOMEBODY.tenant)) as client,
            serving(settings) as served,
        ):
            run_id = client.submit(workflow, {}).run.run_id
            yield Whole(system=system, console=served, run_id=run_id, state=state)


def test_a_run_is_read_watched_and_steered(whole: Whole) -> None:
    browser = whole.console.browser()
    request = run_service_pb2.WatchRunRequest(run_id=whole.run_id)
    seqs = []
    with browser.stream(f"{RUNS}/WatchRun", request) as stream:
        for message in stream:
            update = run_service_pb2.WatchRunResponse.FromString(message)
            if update.HasField("event"):
                seqs.append(update.event.seq)
            if update.event.block_started.path == "ask":
                command = run_service_pb2.AnswerGateRequest(
                    run_id=whole.run_id, path="ask", approved=True, comment="well done"
                )
                assert browser.call(f"{RUNS}/AnswerGate", command).status == 200
    assert stream.end == {}
    assert seqs == list(range(1, len(seqs) + 1))
    answer = browser.call(f"{RUNS}/GetRun", run_service_pb2.GetRunRequest(run_id=whole.run_id))
    run = run_service_pb2.GetRunResponse.FromString(answer.body)
    assert run.run.status == run_pb2.STATUS_SUCCEEDED


def test_a_stream_goes_on_where_the_one_before_has_ended(whole: Whole) -> None:
    browser = whole.console.browser()
    with browser.stream(
        f"{RUNS}/WatchRun", run_service_pb2.WatchRunRequest(run_id=whole.run_id)
    ) as stream:
        first = run_service_pb2.WatchRunResponse.FromString(stream.next())
    again = run_service_pb2.WatchRunRequest(run_id=whole.run_id, after_seq=first.event.seq)
    with browser.stream(f"{RUNS}/WatchRun", again) as stream:
        assert (
            run_service_pb2.WatchRunResponse.FromString(stream.next()).event.seq
            == first.event.seq + 1
        )


def test_another_tenant_sees_nothing_of_it(whole: Whole) -> None:
    browser = whole.console.browser(Principal(tenant="strangers", roles=frozenset({"ml"})))
    request = run_service_pb2.GetRunRequest(run_id=whole.run_id)
    assert (
        browser.call(f"{RUNS}/GetRun", request, kaon_tenant=SOMEBODY.tenant).json["code"]
        == "not_found"
    )
    with browser.stream(
        f"{RUNS}/WatchRun", run_service_pb2.WatchRunRequest(run_id=whole.run_id)
    ) as stream:
        assert list(stream) == []
        assert stream.end["error"]["code"] == "not_found"
    listed = browser.call(f"{RUNS}/ListRuns")
    assert not run_service_pb2.ListRunsResponse.FromString(listed.body).runs


def test_what_is_wrong_with_a_request_comes_with_its_details(whole: Whole) -> None:
    answer = whole.console.browser().call(
        f"{RUNS}/GetRun", run_service_pb2.GetRunRequest(run_id="x" * 10_000)
    )
    assert answer.json["code"] == "invalid_argument"
    assert answer.json["details"][0]["type"] == "google.rpc.BadRequest"
    damaged = whole.console.browser().call(f"{RUNS}/GetRun", b"\xff\xff")
    assert damaged.json["code"] == "invalid_argument"


def test_nobody_registers_code_from_a_browser(whole: Whole) -> None:
    request = workflow_service_pb2.RegisterWorkflowRequest()
    answer = whole.console.browser().call(
        "kaonapi.workflow.v1.WorkflowService/RegisterWorkflow", request
    )
    assert answer.json["code"] == "unimplemented"


def test_kaon_ui_shows_what_a_directory_keeps_and_steers_nothing(whole: Whole) -> None:
    if not (BUILT_PAGES / "index.html").is_file():
        pytest.skip("the console's page is not built: Node.js is missing")
    argv = [
        str(Path(sys.executable).with_name("kaon")),
        "ui",
        "--state",
        str(whole.state / "kept"),
        "--port",
        "0",
    ]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, env={"KAON_TENANT": SOMEBODY.tenant}
    ) as ui:
        assert ui.stdout is not None
        try:
            text = ""
            while not (link := re.search(r"(http://\S+)/login\S+", text)):
                line = ui.stdout.readline()
                assert line, text
                text += line
            browser = Browser(link[1], link[0])
            assert browser.get("/session").json["readOnly"] is True
            listed = run_service_pb2.ListRunsResponse.FromString(
                browser.call(f"{RUNS}/ListRuns").body
            )
            assert [run.run_id for run in listed.runs] == [whole.run_id]
            command = run_service_pb2.CancelRunRequest(run_id=whole.run_id)
            assert browser.call(f"{RUNS}/CancelRun", command).json["code"] == "permission_denied"
        finally:
            ui.send_signal(2)
        assert ui.wait(60) == 0


def test_other_commands_load_no_web_server() -> None:
    code = (
        "import sys; from kaon.cli.main import execute; execute(['--help']); "
        "print([name for name in ('starlette', 'uvicorn', 'kaon_console.bootstrap') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert " ui " in done.stdout
