"""The command line against a real gRPC server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, version
from pathlib import Path
from typing import Any

import pytest
import typer
from sdk_api_server import World, event, short_history

from kaon.cli import plugins
from kaon.cli.commands import steer
from kaon.cli.main import app, called, execute
from kaon_wire.version import VERSION
from kaonapi.log.v1 import log_pb2
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.schedule.v1 import schedule_pb2
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


def test_the_version_is_that_of_the_package(kaon: Kaon) -> None:
    assert kaon("--version") == (0, f"kaon {version('kaon')}\n", "")


def test_a_submit_prints_the_run(kaon: Kaon, world: World, flow: str) -> None:
    code, out, err = kaon("submit", flow, "-p", "n=3", "-p", "who=42", "--key", "k")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"Submitted run r1 of w, version sha256:[0-9a-f]{12}\.\n", out)
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
    assert "No runs found" in kaon("list")[1]
    kaon("register", flow)
    assert "did you mean w?" in kaon("list", "--workflow", "ww")[2]
    assert kaon("list", "--workflow", "ww", "--json") == (0, "", "")
    kaon("submit", flow)
    assert "r1" in kaon("list")[1]
    assert kaon("list", "--status", "failed")[1] == "No run is such as you ask for.\n"
    assert (
        "--status 'faild' is unknown; did you mean failed?" in kaon("list", "--status", "faild")[2]
    )
    assert [json.loads(line)["run_id"] for line in kaon("list", "--json")[1].splitlines()] == ["r1"]
    shown = kaon("show", "r1")[1]
    assert "n = 1" not in shown  # the server of this test fills in no defaults
    assert "host-1" in shown
    assert json.loads(kaon("show", "r1", "--json")[1])["steps"][0]["status"] == "RUNNING"
    assert kaon("cancel", "r1", "--reason", "enough")[1] == "Cancelling. Run r1 is CANCELLING.\n"
    assert json.loads(kaon("list", "--status", "cancelling", "--json")[1])["status"] == "CANCELLING"


def test_a_command_that_is_not_applied_in_time_is_said_to_wait(kaon: Kaon, world: World) -> None:
    world.runs["r1"] = run_pb2.Run(run_id="r1", workflow="w", commands_waiting=2)
    code, out, _ = kaon("pause", "r1")
    assert code == 3
    assert "stored, but the coordinator that owns run r1 has not applied it yet" in out
    assert "pending commands: 2" in kaon("show", "r1")[1]
    code, out, _ = kaon("pause", "r1", "--json")
    assert (code, json.loads(out)["commands_waiting"]) == (3, 2)


def test_a_run_of_a_schedule_is_shown_with_its_time_and_the_last_success(
    kaon: Kaon, world: World
) -> None:
    before = run_pb2.PreviousRun(run_id="r0", end_time_us=90_000_000, scheduled_time_us=60_000_000)
    run = run_pb2.Run(run_id="r1", workflow="w", previous_success=before)
    run.scheduled_time.FromSeconds(120)
    world.runs["r1"] = run
    shown = kaon("show", "r1")[1]
    assert re.search(r"^scheduled for 1970-01-01 \d\d:02", shown, re.MULTILINE)
    assert re.search(r"^previous success: run r0, ended .*:01:30.*, scheduled for ", shown, re.M)


def test_help_shows_what_stands_in_brackets_and_keeps_the_order_of_its_groups(kaon: Kaon) -> None:
    shown = kaon("--help")[1]
    groups = ["Start runs", "Look at runs", "Steer runs", "Workflow files", "The system"]
    assert [shown.index(f" {group} ") for group in groups] == sorted(
        shown.index(f" {group} ") for group in groups
    )
    bracketed = []
    for words, command in _commands((), typer.main.get_command(app)):
        texts = [
            command.help or "",
            *(getattr(option, "help", None) or "" for option in command.params),
        ]
        if found := re.findall(r"\[[a-z_]+\]", " ".join(texts).replace("\\[", "[")):
            shown = " ".join(kaon(*words, "--help")[1].split())
            assert all(each in shown for each in found), words
            bracketed.append(words)
    assert bracketed, "some command has brackets in its help"


def test_the_help_of_every_command_is_written_in_one_style() -> None:
    """A sentence with a verb first, an example under "\\b" that calls the command, and a sentence for each option."""
    for words, command in _commands((), typer.main.get_command(app)):
        if getattr(command, "commands", None):
            continue
        told, _, example = (command.help or "").partition("\b\n")
        summary = told.strip().split("\n\n")[0]
        assert summary.endswith("."), words
        assert summary[0].isupper(), words
        assert not re.match(r"\w+[^s]s ", summary), f"{words}: begin with a verb, as in 'Print ...'"
        assert f"kaon {' '.join(words)}" in example, f"{words}: show a call of it"
        for option in command.params:
            if option.name not in ("help", "install_completion", "show_completion"):
                text = getattr(option, "help", None) or ""
                assert text.rstrip().endswith("."), (words, option.name)
                assert text[0].isupper(), (words, option.name)


def test_the_help_of_every_command_names_values_by_what_they_mean(kaon: Kaon) -> None:
    """In capitals, as DIR and NAME=JSON, also for commands of other packages: "<str>" says nothing."""
    root = typer.main.get_command(app)
    brought = [(name,) for name in plugins.EXPECTED]
    shown = 0
    for words, command in [
        *_commands((), root),
        *((words, root.get_command(None, words[0])) for words in brought),
    ]:
        if getattr(command, "commands", None):
            continue
        for parameter in command.params:
            if getattr(parameter, "is_flag", False) or "completion" in parameter.name:
                continue
            name = parameter.metavar or ""
            assert name, (words, parameter.name)
            assert name == name.upper(), (words, name)
            shown += 1
        text = kaon(*words, "--help")[1]
        assert "Usage: kaon" in text
        assert not re.search(r"<[a-z]+( [a-z]+)?>", text), words
    assert shown > 100


def test_a_command_is_made_alone_and_is_the_same_as_among_all() -> None:
    """Typer makes all commands of an application before it runs one: that took an eighth of `kaon list`."""
    root = typer.main.get_command(app)
    for name in [*root.commands, *plugins.EXPECTED]:
        alone = typer.main.get_command(called([name, "--help"]))
        assert set(alone.commands) == {name} & set(root.commands), name
        for (words, made), (others, usual) in zip(
            _commands((name,), alone.get_command(None, name)),
            _commands((name,), root.get_command(None, name)),
            strict=True,
        ):
            assert words == others
            assert [each.opts for each in made.params] == [each.opts for each in usual.params]
    for words in ([], ["--help"], ["lst"]):
        assert typer.main.get_command(called(words)).commands.keys() == root.commands.keys()


def _commands(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of this package with the words that call it."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands((*words, name), inner)


def test_a_row_in_a_pipe_is_one_line(
    kaon: Kaon, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    world.runs["r1"] = run_pb2.Run(
        run_id="r1" * 20, workflow="w" * 50, status=run_pb2.STATUS_FAILED
    )
    head, row = kaon("list")[1].splitlines()
    assert head.startswith("RUN ")
    assert "r1" * 20 in row
    assert "w" * 50 in row


def test_logs_are_printed_with_their_step(kaon: Kaon, world: World, flow: str) -> None:
    kaon("submit", flow)
    key = step_pb2.StepKey(run_id="r1", path="a", attempt=1, generation=1)
    world.logs = [
        log_pb2.LogLines(key=key, lines=[log_pb2.LogLine(sequence=1, text="[x] hello")], dropped=3)
    ]
    out = kaon("logs", "r1", "a", "-f")[1]
    assert "a | [x] hello" in out
    assert "3 lines dropped" in out
    line, dropped = map(json.loads, kaon("logs", "r1", "--json")[1].splitlines())
    assert (line["path"], line["attempt"], line["sequence"], line["text"]) == (
        "a",
        1,
        1,
        "[x] hello",
    )
    assert dropped["dropped"] == 3


LOGS = [
    ("a[x]/t", 1, 10, "loss 3"),
    ("a[y]/t", 1, 20, "loss 2"),
    ("a[x]/t", 2, 30, "done"),
    ("a[y]/t", 1, 40, "loss 1"),
]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), ["loss 3", "loss 2", "done", "loss 1"]),
        (("--tail", "2"), ["done", "loss 1"]),
        (("--tail", "2", "-f"), ["done", "loss 1"]),
        (("--attempt", "2"), ["done"]),
        (("--grep", "loss [12]"), ["loss 2", "loss 1"]),
        (("--grep", "loss", "--tail", "1"), ["loss 1"]),
        (("--since", "1970-01-01T00:00:20Z"), ["loss 2", "done", "loss 1"]),
        (("--since", "10m"), []),
    ],
    ids=" ".join,
)
def test_lines_are_selected(
    kaon: Kaon, world: World, flow: str, words: tuple[str, ...], found: list[str]
) -> None:
    kaon("submit", flow)
    world.logs = [
        log_pb2.LogLines(
            key=step_pb2.StepKey(run_id="r1", path=path, attempt=attempt, generation=attempt),
            lines=[log_pb2.LogLine(sequence=seconds, time_us=seconds * 10**6, text=text)],
        )
        for path, attempt, seconds, text in LOGS
    ]
    lines = [json.loads(line) for line in kaon("logs", "r1", *words, "--json")[1].splitlines()]
    assert [line["text"] for line in lines] == found
    assert all(line["time"].startswith("1970-01-01T00:00:") for line in lines)


@pytest.mark.parametrize("words", [("--grep", "("), ("--since", "soon")], ids=" ".join)
def test_a_selection_that_cannot_be_read_is_named(kaon: Kaon, words: tuple[str, ...]) -> None:
    code, _, err = kaon("logs", "r1", *words)
    assert (code, words[0] in err) == (1, True)


def test_lines_that_are_left_out_are_told_with_the_command_that_has_them(
    kaon: Kaon, world: World, flow: str
) -> None:
    kaon("submit", flow)
    key = step_pb2.StepKey(run_id="r1", path="each[a b]/a", attempt=2, generation=1)
    gap = log_pb2.LogGap(first_sequence=2001, last_sequence=9000)
    world.logs = [
        log_pb2.LogLines(key=key, gap=gap, lines=[log_pb2.LogLine(sequence=9001, text="end")])
    ]
    told, line = kaon("logs", "r1")[1].splitlines()
    assert "7000 lines left out, 2001 to 9000" in told
    assert told.endswith("kaon logs r1 'each[a b]/a' --whole --attempt 2")
    assert line.endswith("end")


def test_two_runs_are_compared(kaon: Kaon, world: World, flow: str) -> None:
    kaon("submit", flow, "-p", "n=30")
    kaon("submit", flow, "-p", "n=31")
    code, out, _ = kaon("diff", "r1", "r2")
    assert (code, out.split()[:4], "parameter n" in out) == (
        0,
        ["WHAT", "r1", "r2", "parameter"],
        True,
    )
    assert kaon("diff", "r1", "r1")[1].strip() == "Nothing differs."
    assert json.loads(kaon("diff", "r1", "r2", "--json")[1]) == {
        "what": "parameter n",
        "first": "30",
        "second": "31",
    }


def test_a_whole_log_goes_to_standard_output_or_to_a_file_as_it_is(
    kaon: Kaon, world: World, flow: str, tmp_path: Path
) -> None:
    kaon("submit", flow)
    world.whole_log = "für\r\nalle\n".encode()
    code, out, err = kaon("logs", "r1", "a", "--whole")
    assert (code, out.encode(), err) == (0, world.whole_log, "")
    target = tmp_path / "a.log"
    target.write_text("older")
    assert kaon("logs", "r1", "a", "--whole", "--attempt", "3", "--output", str(target)) == (
        0,
        "",
        "",
    )
    assert target.read_bytes() == world.whole_log
    assert [each.attempt for each in world.whole_log_asked] == [0, 3]
    code, _, err = kaon("logs", "r1", "a", "--whole", "--output", str(tmp_path / "none" / "a.log"))
    assert code == 1
    assert "cannot write" in err
    assert kaon("logs", "r1", "a", "--whole", "--output", os.devnull)[0] == 0
    assert not Path(os.devnull).is_file()
    assert {each.name for each in tmp_path.iterdir() if each.name.startswith(".a.log")} == set()


@pytest.mark.parametrize(
    "words",
    [
        ("--whole",),
        ("a", "--whole", "-f"),
        ("a", "--whole", "--json"),
        ("a", "--output", "x"),
        ("a", "--whole", "--tail", "1"),
    ],
)
def test_options_of_whole_logs_that_do_not_fit_are_refused(
    kaon: Kaon, words: tuple[str, ...]
) -> None:
    code, _, err = kaon("logs", "r1", *words)
    assert code == 2
    assert "--whole" in err


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
    assert "did you mean w?" in kaon("workflows", "show", "ww")[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cancel", "r1", "a", "--skip", "--reason", "x"), "Cancelling a. Run r1 is CANCELLING.\n"),
        (("pause", "r1"), "No new step starts until the run is resumed. Run r1 is PAUSED.\n"),
        (("resume", "r1"), "Resumed. Run r1 is RUNNING.\n"),
        (("signal", "r1", "go", '{"n": 1}'), "Sent signal go. Run r1 is PENDING.\n"),
        (
            ("signal", "r1", "go", "plain text", "--step", "a"),
            "Sent signal go. Run r1 is PENDING.\n",
        ),
        (("retry", "r1"), "Retrying the failed steps with w. Run r1 is RUNNING.\n"),
        (("retry", "r1", "a"), "Retrying the failed steps of a with w. Run r1 is RUNNING.\n"),
        (
            ("restart", "r1", "a"),
            "Restarting a and the nodes downstream of it with w. Run r1 is RUNNING.\n",
        ),
        (
            ("mark", "r1", "a", "succeeded", "-o", "x=1", "--reason", "y"),
            "Marked a SUCCEEDED. Run r1 is PENDING.\n",
        ),
        (("priority", "r1", "7"), "Set the priority to 7. Run r1 is PENDING.\n"),
        (("approve", "r1", "ok"), "Approved ok. Run r1 is PENDING.\n"),
        (("reject", "r1", "ok", "--comment", "no"), "Rejected ok. Run r1 is PENDING.\n"),
        (("rerun", "r1", "-p", "n=5"), "Submitted run r2 of w, like r1.\n"),
        (
            ("fork", "r1", "--at", "4", "--reset", "a"),
            "Submitted run r2 of w, from event 4 of r1.\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_says_what_it_does(
    kaon: Kaon, world: World, flow: str, arguments: tuple[str, ...], told: str
) -> None:
    kaon("submit", flow)
    code, out, err = kaon(*arguments)
    assert (code, re.sub(r", version sha256:[0-9a-f]{12}", "", out), err) == (0, told, "")
    assert len(world.asked) == 1
    code, out, _ = kaon(*arguments, "--json")
    assert (code, "r" in json.loads(out).get("run", json.loads(out))["run_id"]) == (0, True)


@pytest.mark.parametrize(
    "words", [("retry", "r1"), ("restart", "r1", "a"), ("fork", "r1", "--reset", "a")]
)
def test_a_run_goes_on_with_the_code_of_a_file(
    kaon: Kaon, world: World, flow: str, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """The command says what is kept and which versions there were, and refuses what it cannot mean."""
    kaon("submit", flow)
    if words[0] != "fork":
        code, _, err = kaon(*words, "--file", flow)
        assert (code, "r1 is PENDING" in err, "beside it" in err) == (1, True, True)
        assert kaon(*words, "--file", flow, "--reason", "x")[0] == 2
    world.runs["r1"].status = run_pb2.STATUS_FAILED
    Path(flow).write_text(FLOW.replace('"true"', '"echo"'))
    code, out, err = kaon(*words, "--file", flow)
    assert (code, err) == (0, "")
    version = world.runs["r1"].version[:19]
    kept = f"It goes on from run r1 (version {version}): 2 steps that succeeded are kept; a begins anew."
    assert out.splitlines()[1] == kept
    asked = world.asked[-1]
    assert (asked.failed, list(asked.reset)) == (words[0] != "restart", ["a"] * (len(words) > 2))
    assert asked.version != world.runs["r1"].version
    assert world.current[-1] == asked.version
    world.unfit = "block a has changed"
    Path(flow).write_text(FLOW.replace('"true"', '"false"'))
    code, _, err = kaon(*words, "--file", flow)
    assert (code, "block a has changed" in err) == (1, True)
    assert world.current[-1] == asked.version, "what is refused does not become current"
    other = tmp_path / "other.py"
    other.write_text(FLOW.replace('Workflow("w"', 'Workflow("v"'))
    code, _, err = kaon(*words, "--file", str(other))
    assert code == 1
    assert "'w'" in err


def test_the_beginning_of_an_id_names_a_run_when_it_is_the_only_one(
    kaon: Kaon, world: World, flow: str
) -> None:
    for run_id in ("01m8m4yngnex0q5v5vj60ycemm", "01m8m4ynhaaaaaaaaaaaaaaaaa"):
        world.runs[run_id] = run_pb2.Run(run_id=run_id, workflow="w")
    code, out, _ = kaon("show", "01M8m4yng", "--json")
    assert (code, json.loads(out)["run"]["run_id"]) == (0, "01m8m4yngnex0q5v5vj60ycemm")
    code, _, err = kaon("cancel", "01m8m4")
    assert code == 1
    assert "several runs begin with '01m8m4': 01m8m4yngnex0q5v5vj60ycemm (w, UNSPECIFIED), " in err
    assert not world.asked
    assert "no run" in kaon("show", "02")[2]


def test_runs_are_listed_by_their_parameters_and_tell_them(
    kaon: Kaon, world: World, flow: str
) -> None:
    kaon("submit", flow, "-p", "n=3", "--label", "team=search")
    kaon("submit", flow, "-p", "n=4")
    world.runs["r1"].labels["team"] = "search"
    listed = kaon("list", "--param", "n=3", "--since", "2h")[1]
    assert ["team=search" in listed, "n=3" in listed, "r2" in listed] == [True, True, False]
    assert kaon("list", "--since", "yesterday")[0] == 1


def test_trials_are_compared_by_their_metrics_and_show_their_hyper_parameters(
    kaon: Kaon, world: World, flow: str
) -> None:
    kaon("submit", flow)
    losses = {"t[0]": 0.5, "t[1]": 0.25, "t[2]": None}
    world.cells = [
        run_pb2.CellView(path=path, block="t", index=index, item_json=f'{{"rate":{index}}}')
        for index, path in enumerate(losses)
    ]
    world.steps = [
        run_pb2.StepView(path=f"{path}/train", metrics={} if loss is None else {"loss": loss})
        for path, loss in losses.items()
    ]
    code, out, err = kaon("trials", "r1")
    assert (code, err) == (0, "")
    assert "the best has the smallest loss" in out
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["t[1]", "t[0]", "t[2]"]
    told = [json.loads(line) for line in kaon("trials", "r1", "t", "--json")[1].splitlines()]
    assert [(each["item"], each["best"]) for each in told[:2]] == [
        ({"rate": 1}, True),
        ({"rate": 0}, False),
    ]
    largest = kaon("trials", "r1", "--by", "loss", "--maximize", "--json")[1].splitlines()[0]
    assert json.loads(largest)["path"] == "t[0]"
    assert "they have: loss" in kaon("trials", "r1", "--by", "los")[2]
    assert "no sweep or foreach 'x'" in kaon("trials", "r1", "x")[2]
    assert "rate=1" in kaon("show", "r1")[1]
    assert 'item of t[1] = {"rate":1}' in kaon("show", "r1", "t[1]/train")[1]


def test_an_artifact_and_a_model_are_followed_both_ways(
    kaon: Kaon, world: World, flow: str
) -> None:
    kaon("submit", flow)
    data, model = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"

    def text(digest: str) -> str:
        return json.dumps({"artifact": {"uri": "file:///x", "digest": digest, "type": "dataset"}})

    world.runs["r1"].params_json["n"] = text(data)
    world.runs["r1"].last_seq = 2
    ready = history_pb2.StepBecameReady(path="train", inputs_json={"rows": f"[{text(data)}]"})
    ended = history_pb2.StepEndedEvent(path="train", outputs_json={"model": text(model), "n": "1"})
    world.history = [event(1, step_became_ready=ready), event(2, step_ended=ended)]
    lineage = model_pb2.Lineage(run_id="r1", workflow="w", step="train", data_digests=[data])
    version = model_pb2.ModelVersion(
        model="shop", version=3, artifact_digest=model, lineage=lineage
    )
    world.announcements = [model_pb2.Announcement(version=version)]

    def told(target: str) -> list[tuple[str, str, str]]:
        lines = kaon("lineage", target, "--json")[1].splitlines()
        return [(each["how"], each["step"], each["name"]) for each in map(json.loads, lines)]

    used = [("given", "", "n"), ("used", "train", "rows")]
    assert told(data[:20]) == [*used, ("published", "train", "shop 3")]
    assert told("b" * 64) == [("made", "train", "model"), ("published", "train", "shop 3")]
    assert told("shop@3") == [*used, ("made", "train", "model"), ("published", "train", "shop 3")]
    assert "made of sha256:bbbbbbbbbbbb by step train of run r1" in kaon("lineage", "shop")[1]
    assert kaon("lineage", f"sha256:{'c' * 64}")[0] == 1
    assert "write a digest with 8 to 64 hexadecimal digits" in kaon("lineage", "sha256:bb")[2]
    assert "MODEL@VERSION" in kaon("lineage", "shop@x")[2]


def test_the_only_approval_that_waits_needs_no_path(
    kaon: Kaon, world: World, flow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaon("submit", flow)
    assert kaon("approve", "r1")[2] == "kaon: run r1 has no pending approval\n"
    gate = run_pb2.BlockView(
        path="release",
        kind="gate",
        status=run_pb2.STATUS_WAITING,
        gate="approval",
        roles=["owner"],
        message="Publish?",
    )
    world.blocks = [gate]
    shown = kaon("show", "r1")[1]
    assert "release waits for approval by owner: Publish? (kaon approve r1 release)" in shown
    assert kaon("approve", "r1")[2] == "kaon: release is answered by owner\n"
    monkeypatch.setenv("KAON_ROLES", "owner")
    assert kaon("approve", "r1")[1] == "Approved release. Run r1 is PENDING.\n"
    world.blocks = [
        gate,
        run_pb2.BlockView(path="b", status=run_pb2.STATUS_WAITING, gate="approval"),
    ]
    assert "the PATH of one: release, b" in kaon("approve", "r1")[2]


def test_blocks_are_shown_with_what_is_particular_about_them(
    kaon: Kaon, world: World, flow: str
) -> None:
    kaon("submit", flow)
    view = run_pb2.BlockView
    world.blocks = [
        view(
            path="regions",
            kind="for_each",
            status=run_pb2.STATUS_RUNNING,
            total=5,
            cells={"SUCCEEDED": 3},
        ),
        view(path="cycle", kind="repeat", status=run_pb2.STATUS_RUNNING, started=2, total=4),
        view(
            path="score",
            kind="sub_workflow",
            status=run_pb2.STATUS_SUCCEEDED,
            child_run_id="r7",
            outputs_json={"x": "1"},
        ),
        view(
            path="data", kind="gate", status=run_pb2.STATUS_WAITING, gate="signal", signal="ready"
        ),
    ]
    world.runs["r1"].late = True
    shown = kaon("show", "r1")[1]
    for text in (
        "5 cells, 3 succeeded",
        "iteration 2 of at most 4",
        "run r7",
        "x=1",
        "kaon signal r1 ready",
        "late",
    ):
        assert text in shown, shown


TRACEBACK = """Traceback (most recent call last):
  File "flow.py", line 3, in train
ValueError: no rows in a frame with a name so long that it does not fit into a line of a narrow terminal"""


def _failed_step() -> run_pb2.StepView:
    message = TRACEBACK.splitlines()[-1].removeprefix("ValueError: ")
    error = step_pb2.StepError(
        type="ValueError", message=f"{message}\nsecond line", details=TRACEBACK
    )
    failed = run_pb2.STATUS_FAILED
    return run_pb2.StepView(
        path="each[US]/train", name="train", type="python", status=failed, attempt=2, error=error
    )


@pytest.mark.parametrize("written", ["train", "each[US]/train", "each/train", "each[US]"])
def test_a_step_is_shown_by_its_name_with_the_traceback_of_its_error(
    kaon: Kaon, world: World, flow: str, written: str
) -> None:
    kaon("submit", flow)
    world.steps = [_failed_step()]
    out = kaon("show", "r1", written)[1]
    assert out.startswith("each[US]/train  FAILED\n")
    assert "second line" in out
    for line in TRACEBACK.splitlines():
        assert line in out
    assert json.loads(kaon("show", "r1", written, "--json")[1])["error"]["details"] == TRACEBACK
    assert kaon("show", "r1", "trian")[2].endswith(
        "no step, block or cell 'trian' (yet); did you mean train?\n"
    )


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_cuts_neither_ids_nor_errors(
    kaon: Kaon, world: World, flow: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaon("submit", flow)
    world.steps = [_failed_step()]
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    out = re.sub(r"\x1b\[[0-9;]*m", "", kaon("show", "r1")[1])
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= width
    assert (
        "ValueError: no rows in a frame with a name so long that it does not fit into a line of a narrow terminal"
        in (" ".join(out.split()).replace("each[US]/train ", "").replace("details ", ""))
    )
    assert "each[US]/train" in out


@pytest.mark.parametrize(("name", "shown"), [("a.csv.gz", "a.csv.gz"), ("a\x1b[2J", r"'a\x1b[2J'")])
def test_an_artifact_is_shown_with_its_name_and_no_name_speaks_to_the_terminal(
    kaon: Kaon, world: World, flow: str, name: str, shown: str
) -> None:
    kaon("submit", flow)
    reference = {"artifact": {"type": "model", "digest": "sha256:1234567890", "name": name}}
    outputs, done = {"m": json.dumps(reference)}, run_pb2.STATUS_SUCCEEDED
    world.blocks = [run_pb2.BlockView(path="b", kind="gate", status=done, outputs_json=outputs)]
    assert f"m=model sha256:12345678 {shown}" in kaon("show", "r1")[1]


def test_a_run_is_shown_as_it_was_verified_and_told_event_by_event(
    kaon: Kaon, world: World, flow: str
) -> None:
    kaon("submit", flow)
    assert "State after event 3: sha256:12" in kaon("show", "r1", "--at", "3")[1]
    assert json.loads(kaon("show", "r1", "--at", "3", "--json")[1])["state_hash"] == "sha256:12"
    assert kaon("verify", "r1") == (
        0,
        "Replay of 6 events of run r1 gives the stored state sha256:12.\n",
        "",
    )
    kaon("submit", flow)
    code, out, _ = kaon("verify", "r2")
    assert (code, "gives state sha256:12, but the stored state is sha256:34" in out) == (1, True)
    world.history, world.runs["r1"].last_seq = short_history(), 6
    lines = kaon("history", "r1")[1].splitlines()
    assert len(lines) == 6
    assert "a  READY, attempt 1, generation 1" in lines[2]
    told = [
        json.loads(line)["seq"]
        for line in kaon("history", "r1", "--after", "4", "--json")[1].splitlines()
    ]
    assert told == [5, 6]


NIGHTLY = """
name = "nightly"
workflow = "w"
cron = "0 3 * * *"
time_zone = "Europe/Berlin"
overlap = "skip"
catch_up = "all"
start_time = 2026-12-01T00:00:00Z
[params]
n = 3
[params_cel]
who = "time"
"""


def test_a_schedule_is_put_from_a_file_listed_paused_and_deleted(
    kaon: Kaon, world: World, project: Path
) -> None:
    (project / "nightly.toml").write_text(NIGHTLY)
    assert kaon("schedule", "put", str(project / "nightly.toml"))[1] == (
        "Created schedule nightly: 0 3 * * * Europe/Berlin.\n"
    )
    kept = world.schedules["nightly"]
    assert kept.params_json == {"n": "3"}
    assert kept.params_cel == {"who": "time"}
    assert kept.overlap == schedule_pb2.OVERLAP_SKIP
    assert kept.catch_up == schedule_pb2.CATCH_UP_ALL
    assert kept.start_time.ToJsonString() == "2026-12-01T00:00:00Z"
    assert "Replaced" in kaon("schedule", "put", str(project / "nightly.toml"))[1]
    assert kaon("schedule", "pause", "nightly")[1] == "Schedule nightly is paused.\n"
    assert "paused" in kaon("schedule", "list")[1]
    assert json.loads(kaon("schedule", "list", "--json")[1])["cron"]["time_zone"] == "Europe/Berlin"
    assert kaon("schedule", "resume", "nightly")[1] == "Schedule nightly is resumed.\n"
    assert "n = 3" in kaon("schedule", "show", "nightly")[1]
    assert kaon("schedule", "delete", "nightly")[0] == 0
    assert kaon("schedule", "show", "nightly")[2] == "kaon: there is no schedule 'nightly'\n"


_EVERY = '{"name": "n", "workflow": "w", "every": "1h", %s}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"workflow": "w", "cron": "x"}', "name and workflow are required"),
        ('{"name": "n", "workflow": "w"}', "give one of cron, every, run_finished"),
        ('{"name": "n", "workflow": "w", "cron": "x", "every": "1h"}', "there are several"),
        ('{"name": "n", "workflow": "w", "every": "soon"}', "'soon' is no duration"),
        ('{"name": "n", "workflow": "w", "every": "1h", "nope": 1}', "there is no setting 'nope'"),
        (
            '{"name": "n", "workflow": "w", "every": "1h", "overlap": "x"}',
            "must be one of allow, skip, buffer",
        ),
        (
            '{"name": "n", "workflow": "w", "run_finished": "o", "statuses": ["x"]}',
            "there is no status 'x'",
        ),
        ('{"name": "n", "workflow": "w", "cron": []}', "cron is an empty list"),
        (_EVERY % '"any": []', "there are several"),
        ('{"name": "n", "workflow": "w", "any": [3]}', "any: 3 is no table"),
        ('{"name": "n", "workflow": "w", "any": [{"jitter": "1s"}]}', "give one of cron, every"),
        (
            '{"name": "n", "workflow": "w", "any": [{"cron": "@daily", "overlap": "skip"}]}',
            "no setting 'overlap'",
        ),
        ('{"name": "n", "workflow": "w", "all": [{"name": "x"}]}', "give one of cron, every"),
        ('{"name": "n", "workflow": "w", "all": ["x"]}', "'x' is no trigger"),
        ('{"name": "n", "workflow": "w", "any": [{"all": [], "cron": "x"}]}', "no setting 'cron'"),
        ('{"name": "n", "workflow": "w", "all": [], "within": "soon"}', "'soon' is no duration"),
        ('{"name": "n", "workflow": "w", "cron": ["@daily", 3]}', "cron is 3, which is no str"),
        (_EVERY % '"jitter": "2d"', "jitter_ms 172800000: must be from 0 to 86400000"),
        (
            '{"name": "n", "workflow": "w", "every": "1h", "end_time": "2026"}',
            "write a time with its zone",
        ),
        ('{"name": "n", "workflow": "w", "every": "1h", "priority": "high"}', "which is no int"),
        ("{", "n.json"),
        (
            _EVERY % '"priority": 99999999999',
            "priority 99999999999: must be from -1000000000 to 1000000000",
        ),
        (_EVERY % '"params": {"x": 1e999}', "params: 'x': not a JSON value"),
        (_EVERY % '"params": {"x": "a\\u0000"}', "params: 'x': a text in it has a NUL character"),
        (_EVERY % '"params": {"\\ud800": 1}', "params has half of a surrogate pair"),
        (_EVERY % '"params_cel": {"x": 3}', "x is 3, which is no str"),
        (_EVERY % '"params_cel": {"x": "\\u0000"}', "params_cel[x] has a NUL character"),
        (_EVERY % '"version": "\\ud800"', "version has half of a surrogate pair"),
        (
            _EVERY % '"end_time": "9999-12-31T00:00:00Z"',
            "end_time.seconds 253402214400: must be from",
        ),
        (
            _EVERY % '"end_time": "0001-01-01T00:00:00+14:00"',
            "end_time is '0001-01-01T00:00:00+14:00'",
        ),
        (_EVERY % ('"params": {"x": ' + 9_000 * "[" + 9_000 * "]" + "}"), "nested too deeply"),
        (
            '{"name": "n", "workflow": "w", "every": "9999999999999999999999d"}',
            "which are ten years",
        ),
        ('{"name": "n", "workflow": "w", "cron": "\\ud800"}', "cron has half of a surrogate pair"),
    ],
)
def test_a_schedule_file_that_is_wrong_says_what(
    kaon: Kaon, world: World, project: Path, text: str, message: str
) -> None:
    (project / "n.json").write_text(text)
    code, _, told = kaon("schedule", "put", str(project / "n.json"))
    assert (code, message in told, len(world.schedules)) == (1, True, 0), told


def test_triggers_are_written_by_what_happens(kaon: Kaon, world: World, project: Path) -> None:
    for when in (
        {"every": "6h", "anchor": "2026-01-01T00:00:00Z"},
        {"run_finished": "other", "statuses": ["failed"]},
        {"record_arrived": "topic"},
        {"dataset": "ratings"},
        {"cron": ["0 3 * * 1-5", "@monthly"], "jitter": "10m"},
        {"model_published": "m", "stage": "announced"},
    ):
        (project / "n.json").write_text(
            json.dumps({"name": next(iter(when)).replace("_", "-"), "workflow": "w", **when})
        )
        assert kaon("schedule", "put", str(project / "n.json"))[0] == 0
    kept = world.schedules
    assert kept["every"].interval.every_ms == 21_600_000
    assert list(kept["run-finished"].run_finished.statuses) == [run_pb2.STATUS_FAILED]
    assert kept["record-arrived"].record_arrived.topic == "topic"
    assert kept["dataset"].dataset_updated.dataset == "ratings"
    assert kept["model-published"].model_published.stage == "announced"
    assert kept["cron"].cron.more_expressions == ["@monthly"]
    assert kept["cron"].jitter_ms == 600_000
    listed = kaon("schedule", "list")[1]
    for text in (
        "every 6h00m",
        "after a run of other",
        "on a record of topic",
        "on model m",
        "of dataset ratings",
    ):
        assert text in listed
    assert "0 3 * * 1-5, @monthly UTC with jitter 10m00s" in listed


def test_a_signal_to_all_says_how_many_runs_it_has_reached(kaon: Kaon, world: World) -> None:
    code, out, _ = kaon("signal", "--all", "go", "-p", "day=mon", "-p", "rows=3")
    assert (code, out) == (
        0,
        "Sent signal go to 3 runs; 2 runs keep it for a gate.\nLeft out: 1 run of w: needs the role lead\n",
    )
    assert world.asked[-1].payload_json == '{"day":"mon","rows":3}'
    again = kaon("signal", "--all", "go", '{"day": 1}', "--key", "used")[1]
    assert again.startswith("An earlier call with this key has sent signal go to 3 runs;")
    assert json.loads(kaon("signal", "--all", "go", "--json")[1])["runs"] == 3
    for wrong in (("--all", "go", "1", "2"), ("--all", "go", "1", "-p", "a=1"), ("r1",)):
        assert kaon("signal", *wrong)[0] == 2


def test_datasets_are_recorded_listed_and_shown(kaon: Kaon, project: Path) -> None:
    code, out = kaon("datasets", "record", "ratings", "--partition", "a", "-p", "rows=3")[:2]
    assert (code, out) == (0, "Recorded update 1 of dataset ratings.\n")
    kaon("datasets", "record", "ratings", "--partition", "b", "-p", "rows=4")
    listed = kaon("datasets", "list")[1].splitlines()
    assert listed[-1].split() == ["ratings", "2", "b", "ada"]
    shown = kaon("datasets", "show", "ratings")[1]
    for text in ("ratings  2 updates", "by load each[eu]/load", "starts w (schedule follow)"):
        assert text in shown
    events = kaon("datasets", "events", "ratings")[1].splitlines()
    assert [line.split()[-1] for line in events[-2:]] == ["run-2", "run-1"]
    assert "rows=4" in events[-2]
    only = kaon("datasets", "events", "ratings", "--partition", "a", "--json")[1]
    assert json.loads(only)["started_run_ids"] == ["run-1"]


def test_several_triggers_are_written_as_any_and_all(
    kaon: Kaon, world: World, project: Path
) -> None:
    sales = {
        "name": "sales",
        "run_finished": "daily-sales",
        "filter": "event.outputs.total > 0",
        "join": "event.outputs.day",
    }
    stock = {"record_arrived": "stock"}
    both = {"within": "6h", "join": "event.value.day", "all": [sales, stock]}
    flat = {"name": "flat", "workflow": "w", "filter": "true", **both}
    several = {
        "name": "several",
        "workflow": "w",
        "any": [both, {"cron": "@daily", "jitter": "5m"}],
    }
    for given in (flat, several):
        (project / "n.json").write_text(json.dumps(given))
        assert kaon("schedule", "put", str(project / "n.json"))[0] == 0
    first, second = (world.schedules[name] for name in ("flat", "several"))
    assert first.filter_cel == "true"
    assert list(first.triggers.any) == [second.triggers.any[0]]
    assert first.triggers.any[0].within_ms == 21_600_000
    assert first.triggers.any[0].all[0].filter_cel == "event.outputs.total > 0"
    joins = [each.join_cel for each in first.triggers.any[0].all]
    assert joins == ["event.outputs.day", "event.value.day"]
    daily = second.triggers.any[1].all[0]
    assert (daily.HasField("jitter_ms"), daily.jitter_ms) == (True, 300_000)
    assert not daily.join_cel
    listed = kaon("schedule", "list")[1]
    text = "after a run of daily-sales by event.outputs.day and on a record of stock by event.value.day"
    assert f"{text} or @daily UTC with jitter 5m" in " ".join(listed.split())
    assert "filter true" in kaon("schedule", "show", "flat")[1]


def test_a_command_that_stops_or_repeats_steps_says_which(
    kaon: Kaon, world: World, flow: str
) -> None:
    kaon("submit", flow)
    stopping = run_pb2.STATUS_CANCELLING
    world.steps = [run_pb2.StepView(path=path, status=stopping) for path in ("a", "b", "c")]
    assert kaon("cancel", "r1")[1] == "Cancelling; 3 steps are stopping. Run r1 is CANCELLING.\n"
    done, failed = run_pb2.STATUS_SUCCEEDED, run_pb2.STATUS_FAILED
    before = [run_pb2.StepView(path="a", status=done), run_pb2.StepView(path="b", status=failed)]
    after = [before[0], run_pb2.StepView(path="b", status=run_pb2.STATUS_READY)]
    assert steer._again(before, after) == " (b); 1 that succeeded is kept"


def test_nobody_waits_where_nothing_listens(kaon: Kaon) -> None:
    code, _, err = kaon("list", "--server", "127.0.0.1:9")
    assert code == 1
    assert err.startswith("kaon: nothing listens at 127.0.0.1:9: start a system with kaon serve")


def test_a_schedule_runs_at_once(kaon: Kaon, world: World, project: Path) -> None:
    (project / "s.toml").write_text('name = "nightly"\nworkflow = "w"\nevery = "6h"')
    kaon("schedule", "put", str(project / "s.toml"))
    out = kaon("schedule", "run", "nightly", "--time", "2026-12-01T03:00Z")[1]
    assert out == "Submitted run r9 of w (version sha256:1234567890ab).\n"
    asked = world.asked[-1]
    assert (asked.name, asked.time.ToJsonString()) == ("nightly", "2026-12-01T03:00:00Z")
    assert asked.idempotency_key
    assert kaon("schedule", "run", "nightli")[0] == 1


def test_a_workflow_is_registered_and_submitted_by_its_name(
    kaon: Kaon, world: World, flow: str
) -> None:
    assert kaon("submit", "w")[2].startswith("kaon: ")
    assert kaon("register", flow)[1].startswith("Registered w, version ")
    assert kaon("register", flow)[1].startswith("Already registered: w, version ")
    assert world.runs == {}
    assert kaon("submit", "w", "-p", "n=3")[1].startswith("Submitted run r1 of w")
    assert dict(world.runs["r1"].params_json) == {"n": "3"}
    assert "did you mean w?" in kaon("submit", "ww")[2]
    assert "--version is for the NAME" in kaon("submit", flow, "--version", "sha256:1")[2]


def test_a_backfill_submits_a_run_for_each_date(kaon: Kaon, world: World, flow: str) -> None:
    kaon("submit", flow)
    code, out, _ = kaon(
        "backfill",
        "w",
        "who",
        "2026-01-01",
        "2026-01-31",
        "--every",
        "7",
        "--at-once",
        "2",
        "-p",
        "n=3",
    )
    assert (code, out) == (0, "Submitted 1 run of w; 1 existed before.\n")
    asked = world.asked[-1]
    assert (asked.every_days, asked.max_active, asked.params_json) == (7, 2, {"n": "3"})


def test_permits_are_set_and_listed(kaon: Kaon, world: World) -> None:
    assert kaon("permits", "set", "gpu", "2")[1] == "Limited tag gpu to 2 concurrent steps.\n"
    assert world.permits == {"gpu": 2}
    assert "gpu" in kaon("permits", "list")[1]
    assert kaon("permits", "set", "gpu", "0")[1] == "Removed the limit of tag gpu.\n"


def test_why_tells_the_causal_chain(kaon: Kaon, flow: str) -> None:
    kaon("submit", flow)
    lines = kaon("why", "r1", "a")[1].splitlines()
    assert lines == ["a is PENDING", "→ it waits for b", "  → b waits for a runner with gpu"]
    assert json.loads(kaon("why", "r1", "a", "--json")[1])["reasons"][1]["cause"] == "NO_LABEL"


def test_pools_are_listed_with_what_they_lack(kaon: Kaon) -> None:
    out = kaon("pools")[1]
    assert "4 slots with gpu for 3 steps" in out
    assert "Pool far does not answer: it is away" in out


def test_a_graph_is_a_mermaid_flowchart(kaon: Kaon, project: Path) -> None:
    (project / "flow.py").write_text("""
from kaon import *
def step(name, **rest): return steps.shell(name, argv=["true"], **rest)
a = step("a", outputs={"rows": list})
body = a >> step("b") ** each("row", a["rows"]) >> approval("ok") >> branch(when(expr("true"), step("c")), otherwise=step("e"))
body = body >> (step("fix").when_any_failed() | group(step("f"), on_error="finish").optional())
w = Workflow("w", body.finally_(step("clean")), strategy="first-only")
""")
    assert "strategy first-only" in kaon("validate", str(project / "flow.py"))[1]
    lines = kaon("graph", str(project / "flow.py"))[1].splitlines()
    assert lines[0] == "flowchart LR"
    for line in (
        "  %% w: strategy first-only",
        '  subgraph rows["rows: for each row"]',
        '  ok{{"ok: approval"}}',
        '    subgraph branch--1["otherwise"]',
        '  clean["clean: shell step, finally"]',
        "  a --> rows",
        "  branch -->|any failed| fix",
        '  subgraph group["group: group, others finish after a failure, optional"]',
    ):
        assert line in lines, lines


def test_a_start_condition_is_told_in_words(kaon: Kaon, project: Path) -> None:
    (project / "flow.py").write_text("""
from kaon import *
a, b, c, d = (steps.shell(name, argv=["true"]) for name in "abcd")
w = Workflow("w", (a | b | c) >> d.when(a.succeeded & (b.failed | c.skipped) | b.ended))
""")
    condition = "(a succeeded and (b failed or c skipped)) or b ended"
    assert f"d: shell step  when {condition}" in kaon("validate", str(project / "flow.py"))[1]
    graph = kaon("graph", str(project / "flow.py"))[1].splitlines()
    assert f'  d["d: shell step, when {condition}"]' in graph
    assert "  b -->|failed or ended| d" in graph


def test_a_file_with_the_name_of_a_python_module_is_told_beside_what_a_script_reads(
    kaon: Kaon, project: Path, world: World
) -> None:
    (project / "flow.py").write_text(
        "from kaon import *\ndef f(): ...\nw = Workflow('w', steps.python('a', f))\n"
    )
    (project / "token.py").touch()
    for words in (("validate",), ("submit",), ("graph",)):
        code, out, told = kaon(*words, str(project / "flow.py"))
        assert (code, "token" in out) == (0, False), told
        assert told.startswith("warning: token.py has the name of Python's own module 'token'")
    assert json.loads(kaon("validate", str(project / "flow.py"), "--json")[1])["bundle_files"] == [
        "flow.py",
        "token.py",
    ]


def test_validating_needs_no_server(kaon: Kaon, flow: str, world: World) -> None:
    code, out, _ = kaon("validate", flow)
    assert code == 0
    assert "parameter n: int = 1" in out
    assert (
        json.loads(kaon("validate", flow, "--json")[1])["definition"]["parameters"][0]["default"]
        == 1
    )
    assert not world.workflows


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("watch", "r9"), 1, "kaon: there is no run 'r9'\n"),
        (
            ("workflows", "show", "x"),
            1,
            "kaon: there is no workflow 'x'; see kaon workflows list, or register it first with kaon register FILE\n",
        ),
        (("validate", "none.py"), 1, "kaon: there is no file none.py\n"),
        (("show",), 2, "kaon: Missing argument 'RUN' (see kaon show --help)\n"),
        (("nope",), 2, "kaon: No such command 'nope' (see kaon --help)\n"),
        (("list", "--status", "x"), 2, "--status 'x' is unknown"),
        (("submit", "FLOW", "-p", "n"), 2, "write -p NAME=JSON"),
        (("submit", "FLOW", "-p", "n=1", "-p", "n=2"), 2, "-p n is given twice"),
        (("submit", "FLOW", "-p", "m=1"), 1, "has no parameter 'm'; it has: n, who"),
        (("submit", "FLOW", "-p", "n=x"), 1, "'n' must be an integer"),
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
    single = (
        "submit list show watch logs history verify why cancel pause resume signal approve reject retry restart mark priority "
        "rerun fork backfill runners pools validate graph"
    )
    groups = {
        "schedule": "put list show delete pause resume",
        "permits": "set list",
        "models": "list",
        "workflows": "list",
    }
    commands = [(name,) for name in single.split()]
    commands += [(group, name) for group, names in groups.items() for name in names.split()]
    for command in commands:
        code, out, _ = kaon(*command, "--help")
        assert code == 0
        assert f"kaon {' '.join(command)}" in out.replace("Usage: kaon", ""), command


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
        monkeypatch.setattr(
            plugins, "entry_points", lambda group: found if group == plugins.GROUP else []
        )

    return install


def test_commands_of_other_packages_are_found(
    kaon: Kaon, installed: Callable[[dict[str, object]], None]
) -> None:
    installed({"run": greet, "dev": group})
    assert kaon("run", "ada") == (0, "hello ada\n", "")
    assert kaon("dev", "two")[1] == "two\n"
    assert "Greets." in kaon("--help")[1]
    assert "kaon run" in kaon("run", "--help")[1]


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("run", "x.py"), "run"),
        (("serve",), "run"),
        (("list", "--state", "."), "run"),
        (("ui",), "console"),
    ],
)
def test_a_command_without_its_package_says_what_to_install(
    kaon: Kaon, installed: Callable[[dict[str, object]], None], words: tuple[str, ...], extra: str
) -> None:
    installed({})
    code, printed, error = kaon(*words)
    assert (code, printed) == (1, "")
    assert error.endswith(f"pip install 'kaon[{extra}]=={VERSION}'\n")


def test_a_command_that_cannot_be_loaded_is_named(
    kaon: Kaon, installed: Callable[[dict[str, object]], None]
) -> None:
    installed({"run": 3})
    assert "neither a typer.Typer nor a function" in kaon("run")[2]


def test_the_installed_program_runs(flow: str) -> None:
    program = Path(sys.executable).parent / "kaon"
    done = subprocess.run(
        [program, "validate", flow, "--json"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, json.loads(done.stdout)["name"]) == (0, "w")


def test_steps_do_not_load_the_workflow_language() -> None:
    code = "import sys; from kaon import step; print(any(m.startswith(('kaon.dsl', 'kaon.cli', 'grpc')) for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
