"""`kaon submit --each`: a run for each line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from sdk_api_server import World, short_history

from kaon.cli.main import execute
from kaon.client import many
from kaonapi.run.v1 import run_pb2

FLOW = """
from kaon import *
w = Workflow("w", steps.shell("a", argv=["true"], n=param("n", int, default=1), who=param("who", str, default="x"),
    days=param("days", list[str], default=[])))
"""
Kaon = Callable[..., tuple[int, str, str]]


@pytest.fixture
def flow(project: Path) -> str:
    """A file with a workflow of three parameters."""
    path = project / "flow.py"
    path.write_text(FLOW)
    return str(path)


@pytest.fixture
def kaon(address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kaon:
    """Runs one command and returns its exit code, output and errors."""
    monkeypatch.setenv("KAON_SERVER", address)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = execute(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def written(project: Path, text: str) -> str:
    """A file with lines."""
    path = project / "lines"
    path.write_text(text)
    return str(path)


def params(world: World) -> list[dict[str, str]]:
    """The parameters of every run, in the order of their submission."""
    return [dict(run.params_json) for run in world.runs.values()]


def test_each_json_line_is_a_run_and_p_gives_what_a_line_does_not(
    kaon: Kaon, world: World, flow: str, project: Path
) -> None:
    lines = written(project, '{"n": 3}\n\n{"n": 4, "who": "7"}\n{}\n')
    code, out, err = kaon("submit", flow, "--each", lines, "-p", "who=me", "--label", "t=a")
    assert (code, out) == (0, "r1\nr2\nr3\n")
    assert "Submitted 3 runs of w.\n" in err
    assert params(world) == [{"n": "3", "who": '"me"'}, {"n": "4", "who": '"7"'}, {"who": '"me"'}]
    (call,) = [each for each in world.asked if hasattr(each, "requests")]
    assert [dict(each.labels) for each in call.requests] == [{"t": "a"}] * 3


def test_csv_has_names_of_parameters_and_an_empty_field_leaves_one_out(
    kaon: Kaon, world: World, flow: str, project: Path
) -> None:
    kaon("register", flow)
    lines = written(project, 'n,who,days\n3,42,"a,b"\n,"two\nlines",\n\n5\n')
    assert kaon("submit", "w", "--each", lines)[:2] == (0, "r1\nr2\nr3\n")
    assert params(world) == [
        {"n": "3", "who": '"42"', "days": '["a","b"]'},
        {"who": '"two\\nlines"'},
        {"n": "5"},
    ]


def test_lines_come_from_standard_input(
    kaon: Kaon, world: World, flow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("who\nann\nbob\n"))
    code, out, _ = kaon("submit", flow, "--each", "-", "--json")
    assert code == 0
    told = [json.loads(line) for line in out.splitlines()]
    assert told == [
        {"line": 2, "run_id": "r1", "created": True},
        {"line": 3, "run_id": "r2", "created": True},
    ]


def test_a_second_call_with_the_key_makes_no_second_run(
    kaon: Kaon, world: World, flow: str, project: Path
) -> None:
    lines = written(project, '{"n": 1}\n{"n": 2}\n')
    assert kaon("submit", flow, "--each", lines, "--key", "k")[1] == "r1\nr2\n"
    lines = written(project, '{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    code, out, err = kaon("submit", flow, "--each", lines, "--key", "k")
    assert (code, out) == (0, "r1\nr2\nr3\n")
    assert "Submitted 1 run of w; 2 existed before." in err


WRONG = """{"n": 1}
{"n": "two", "whom": 1}
{"n": 3, "who": 4}
[5]
{"n": 6
{"n": 7}
{"n": 8}
"""


def test_lines_that_are_wrong_are_named_and_the_others_are_submitted(
    kaon: Kaon, world: World, flow: str, project: Path
) -> None:
    world.refused_values = {"7": grpc.StatusCode.RESOURCE_EXHAUSTED}
    code, out, err = kaon("submit", flow, "--each", written(project, WRONG))
    assert (code, out) == (1, "r1\nr2\n")
    for told in (
        "line 2: workflow 'w' has no parameter 'whom'",
        "line 3: parameter 'who'",
        "line 4: write an object of parameters",
        "line 5: not JSON: Expecting",
        "line 6: not 7",
        "Submitted 2 runs of w; 5 lines were refused.",
    ):
        assert told in err
    assert params(world) == [{"n": "1"}, {"n": "8"}]


def test_validating_only_names_every_mistake_and_submits_nothing(
    kaon: Kaon, world: World, flow: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "_REQUESTS", 1)
    world.refused_values = {"7": grpc.StatusCode.INVALID_ARGUMENT}
    lines = written(project, WRONG)
    code, out, err = kaon("submit", flow, "--each", lines, "--validate-only")
    assert (code, out, world.runs, world.current) == (1, "", {}, [])
    assert "line 6: not 7" in err
    assert "line 3: parameter 'who'" in err
    assert "2 lines are right; 5 lines were refused." in err
    told = kaon("submit", flow, "--each", lines, "--validate-only", "--json")[1]
    ends = {each["line"]: each.get("valid", False) for each in map(json.loads, told.splitlines())}
    assert ends == {1: True, 2: False, 3: False, 4: False, 5: False, 6: False, 7: True}
    right = written(project, "n\n1\n")
    assert kaon("submit", flow, "--each", right, "--validate-only")[0] == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("n,whom\n1,2\n", "'whom' in the first line is no parameter of workflow 'w', which has: "),
        ("n,n\n1,2\n", "'n' in the first line stands twice"),
        ('n\n"1" 2\n', "line 2 is not CSV"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_as_a_whole(
    kaon: Kaon, world: World, flow: str, project: Path, text: str, told: str
) -> None:
    code, _, err = kaon("submit", flow, "--each", written(project, text))
    assert code == 1
    assert told in err
    assert world.runs == {}


def test_a_file_that_cannot_be_read_is_named(kaon: Kaon, flow: str, project: Path) -> None:
    assert "No such file" in kaon("submit", flow, "--each", str(project / "none"))[2]
    (project / "lines").write_bytes(b"who\n\xff\n")
    assert "is not UTF-8" in kaon("submit", flow, "--each", str(project / "lines"))[2]
    assert (
        "it has 2 fields for 1" in kaon("submit", flow, "--each", written(project, "n\n1,2\n"))[2]
    )


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (run_pb2.STATUS_SUCCEEDED, 0, "2 SUCCEEDED of 2 runs."),
        (run_pb2.STATUS_FAILED, 1, "run r2 is FAILED"),
        (run_pb2.STATUS_CANCELLED, 2, "run r2 is CANCELLED"),
    ],
)
def test_waiting_ends_with_the_worst_end(
    kaon: Kaon,
    world: World,
    flow: str,
    project: Path,
    status: run_pb2.Status.ValueType,
    code: int,
    told: str,
) -> None:
    world.history = short_history(status)
    world.statuses = {"r2": status, "r1": run_pb2.STATUS_SUCCEEDED}
    got, out, err = kaon("submit", flow, "--each", written(project, "n\n1\n2\n"), "--wait")
    assert (got, out) == (code, "r1\nr2\n")
    assert told in err


def test_options_that_do_not_go_together_are_refused(kaon: Kaon, flow: str, project: Path) -> None:
    lines = written(project, "n\n1\n")
    assert "use --wait with --each" in kaon("submit", flow, "--each", lines, "--watch")[2]
    assert "are for --each" in kaon("submit", flow, "--wait")[2]
    assert "are for --each" in kaon("submit", flow, "--validate-only")[2]
