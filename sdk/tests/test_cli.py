"""The command line against a real gRPC server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from sdk_api_server import World, short_history

from kaon.cli import plugins
from kaon.cli.main import execute
from kaonapi.log.v1 import log_pb2
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import run_pb2
from kaonapi.step.v1 import step_pb2

FLOW = """
from kaon import *
w = Workflow("w", steps.shell("a", argv=["true"], n=param("n", int, default=1), who=param("who", str, default="x")))
"""


@pytest.fixture
def flow(project: Path) -> str:
    path = project / "flow.py"
    path.write_text(FLOW)
    return str(path)


@pytest.fixture
def kaon(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs one command and returns its exit code, output and errors."""
    monkeypatch.setenv("KAON_SERVER", address)
    monkeypatch.setenv("KAON_PUBLISHER", address)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = execute(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


Kaon = Callable[..., tuple[int, str, str]]


def test_a_submit_prints_the_run(kaon: Kaon, world: World, flow: str) -> None:
    assert kaon("submit", flow, "-p", "n=3", "-p", "who=42", "--key", "k") == (
        0,
        "Submitted run r1 of w.\n",
        "",
    )
    assert dict(world.runs["r1"].params_json) == {"n": "3", "who": '"42"'}
    code, out, _ = kaon("submit", flow, "-p", "n=3", "-p", "who=42", "--key", "k", "--json")
    told = json.loads(out)
    assert (code, told["created"], told["run"]["run_id"], told["run"]["params"]) == (
        0,
        False,
        "r1",
        {"n": 3, "who": "42"},
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [(run_pb2.STATUS_SUCCEEDED, 0), (run_pb2.STATUS_FAILED, 1), (run_pb2.STATUS_CANCELLED, 2)],
)
def test_watching_ends_with_the_runs_state(
    kaon: Kaon, world: World, flow: str, status: run_pb2.Status.ValueType, code: int
) -> None:
    world.history = short_history(status)
    submitted = kaon("submit", flow, "--watch")
    assert submitted[0] == code
    assert "a  RUNNING on host-1" in submitted[1]
    assert kaon("watch", "r1")[0] == code


def test_watching_as_json_gives_a_line_for_each_update(kaon: Kaon, world: World, flow: str) -> None:
    world.history = short_history()
    kaon("submit", flow)
    code, out, _ = kaon("watch", "r1", "--json")
    updates = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [update["event"]["seq"] for update in updates] == [1, 2, 3, 4, 5, 6]
    assert updates[-1]["event"]["run_ended"]["status"] == "SUCCEEDED"


def test_runs_are_listed_shown_and_cancelled(kaon: Kaon, flow: str) -> None:
    assert "There are no such runs" in kaon("list")[1]
    kaon("submit", flow)
    assert "r1" in kaon("list")[1]
    assert [json.loads(line)["run_id"] for line in kaon("list", "--json")[1].splitlines()] == ["r1"]
    shown = kaon("show", "r1")[1]
    assert "n = 1" not in shown  # the server of this test fills in no defaults
    assert "host-1" in shown
    assert json.loads(kaon("show", "r1", "--json")[1])["steps"][0]["status"] == "RUNNING"
    assert kaon("cancel", "r1", "--reason", "enough")[1] == "Run r1 is CANCELLING.\n"
    assert json.loads(kaon("list", "--status", "cancelling", "--json")[1])["status"] == "CANCELLING"


def test_a_row_in_a_pipe_is_one_line(kaon: Kaon, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    world.runs["r1"] = run_pb2.Run(run_id="r1" * 20, workflow="w" * 50, status=run_pb2.STATUS_FAILED)
    head, row = kaon("list")[1].splitlines()
    assert head.startswith("RUN ")
    assert "r1" * 20 in row
    assert "w" * 50 in row


def test_logs_are_printed_with_their_step(kaon: Kaon, world: World, flow: str) -> None:
    kaon("submit", flow)
    key = step_pb2.StepKey(run_id="r1", path="a", attempt=1, generation=1)
    world.logs = [log_pb2.LogLines(key=key, lines=[log_pb2.LogLine(sequence=1, text="[x] hello")], dropped=3)]
    out = kaon("logs", "r1", "a", "-f")[1]
    assert "a [x] hello" in out
    assert "3 lines were left out" in out
    assert json.loads(kaon("logs", "r1", "--json")[1])["lines"][0]["text"] == "[x] hello"


def test_runners_and_models_and_workflows_are_listed(kaon: Kaon, world: World, flow: str) -> None:
    assert "python=3.11" in kaon("runners")[1]
    version = model_pb2.ModelVersion(
        model="m", version=4, stage=model_pb2.STAGE_ANNOUNCED, metrics={"rmse": 0.9}
    )
    world.announcements = [model_pb2.Announcement(cursor=1, version=version)]
    assert "ANNOUNCED" in kaon("models", "list")[1]
    shown = kaon("models", "show", "m")[1]
    assert "rmse=0.9" in shown
    assert "by shop" in shown
    assert json.loads(kaon("models", "list", "--json")[1])["stage"] == "ANNOUNCED"
    kaon("submit", flow)
    assert "w" in kaon("workflows", "list")[1]
    assert "a: shell step" in kaon("workflows", "show", "w")[1]


def test_validating_needs_no_server(kaon: Kaon, flow: str, world: World) -> None:
    code, out, _ = kaon("validate", flow)
    assert code == 0
    assert "parameter n: int = 1" in out
    assert json.loads(kaon("validate", flow, "--json")[1])["definition"]["parameters"][0]["default"] == 1
    assert not world.workflows


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("watch", "r9"), 1, "kaon: there is no run 'r9'\n"),
        (("workflows", "show", "x"), 1, "kaon: there is no workflow 'x'\n"),
        (("validate", "none.py"), 1, "kaon: there is no file none.py\n"),
        (("show",), 2, "kaon: Missing argument 'RUN' (see kaon show --help)\n"),
        (("nope",), 2, "kaon: No such command 'nope' (see kaon --help)\n"),
        (("list", "--status", "x"), 2, "there is no such status"),
        (("submit", "FLOW", "-p", "n"), 2, "write -p NAME=JSON"),
        (("submit", "FLOW", "-p", "n=1", "-p", "n=2"), 2, "-p n is given twice"),
        (("submit", "FLOW", "-p", "m=1"), 1, "has no parameter 'm'; it has: n, who"),
        (("submit", "FLOW", "-p", "n=x"), 1, "'n' must be of type int"),
    ],
)
def test_mistakes_are_one_line_and_a_code(
    kaon: Kaon, flow: str, arguments: tuple[str, ...], code: int, message: str
) -> None:
    told = kaon(*(flow if word == "FLOW" else word for word in arguments))
    assert told[0] == code
    assert message in told[2]
    assert len(told[2].splitlines()) == 1
    assert told[1] == ""


def test_an_error_in_the_workflow_names_its_line(kaon: Kaon, project: Path) -> None:
    (project / "bad.py").write_text("from kaon import *\nsequence()\n")
    code, _, err = kaon("validate", str(project / "bad.py"))
    assert (code, err) == (
        1,
        f"kaon: {project / 'bad.py'}:2: sequence() is empty; give it at least one step or block\n",
    )


def test_every_command_teaches_by_example(kaon: Kaon) -> None:
    for command in ("submit", "list", "show", "watch", "logs", "cancel", "runners", "validate"):
        code, out, _ = kaon(command, "--help")
        assert code == 0
        assert f"kaon {command} " in out.replace("Usage: kaon", ""), command


def greet(name: str) -> None:
    """Greets."""
    typer.echo(f"hello {name}")


group = typer.Typer()
group.command("one")(lambda: typer.echo("one"))
group.command("two")(lambda: typer.echo("two"))


def entry(name: str, target: str) -> EntryPoint:
    return EntryPoint(name=name, value=target, group=plugins.GROUP)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, object]], None]:
    """Lets entry points be found as if packages had brought them."""

    def install(targets: dict[str, object]) -> None:
        module = type(sys)("sdk_test_plugin")
        for name, target in targets.items():
            setattr(module, name, target)
        monkeypatch.setitem(sys.modules, "sdk_test_plugin", module)
        found = [entry(name, f"sdk_test_plugin:{name}") for name in targets]
        monkeypatch.setattr(plugins, "entry_points", lambda group: found if group == plugins.GROUP else [])

    return install


def test_commands_of_other_packages_are_found(
    kaon: Kaon, installed: Callable[[dict[str, object]], None]
) -> None:
    installed({"run": greet, "dev": group})
    assert kaon("run", "ada") == (0, "hello ada\n", "")
    assert kaon("dev", "two")[1] == "two\n"
    assert "Greets." in kaon("--help")[1]
    assert "kaon run" in kaon("run", "--help")[1]


def test_run_without_its_package_says_what_is_missing(
    kaon: Kaon, installed: Callable[[dict[str, object]], None]
) -> None:
    installed({})
    assert kaon("run", "x.py") == (
        1,
        "",
        "kaon: kaon run comes with package kaon-embedded, which is not installed\n",
    )


def test_a_command_that_cannot_be_loaded_is_named(
    kaon: Kaon, installed: Callable[[dict[str, object]], None]
) -> None:
    installed({"run": 3})
    assert "neither a typer.Typer nor a function" in kaon("run")[2]


def test_the_installed_program_runs(flow: str) -> None:
    program = Path(sys.executable).parent / "kaon"
    done = subprocess.run([program, "validate", flow, "--json"], capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["name"]) == (0, "w")


def test_steps_do_not_load_the_workflow_language() -> None:
    code = "import sys, kaon.step; print(any(m.startswith(('kaon.dsl', 'kaon.cli', 'grpc')) for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
