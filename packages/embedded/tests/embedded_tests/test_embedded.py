from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kaon import Workflow, approval, load_workflow, steps
from kaon.cli.main import execute as execute_command
from kaon.client import Client, Endpoints, placement
from kaon.client import params as parameters
from kaon.client.retrying import Patience
from kaon_embedded.foreground import Wanted, execute, first_failure
from kaon_embedded.leftovers import leftovers
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem, look
from kaon_runner.bootstrap import RunnerService, build_runner
from kaon_service.thread import ApplicationThread
from kaon_wire.errors import Conflict, InvalidValue, KaonError, NotFound, Unavailable
from kaonapi.run.v1 import run_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

TOUR = Path(__file__).parents[4] / "examples" / "tour" / "workflow.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def run_cli(*words: str) -> subprocess.CompletedProcess[str]:
    return kaon("run", *words)


def kaon(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).with_name("kaon")), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)


Told = tuple[int, str, str]


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Executes commands in this process, which has loaded already what they need."""

    def told(*words: str) -> Told:
        capsys.readouterr()
        code = execute_command(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return told


# What takes long to load, and a small workflow does without.
HEAVY = {"aiokafka", "alembic", "docker", "faust", "kafka", "kaon_console", "pandas", "requests"}


def imported(error: str) -> set[str]:
    """The packages that a process has imported, by what Python says of it when PYTHONPROFILEIMPORTTIME is set."""
    lines = (
        line.rpartition("|")[2].strip() for line in error.splitlines() if "import time" in line
    )
    return {line.partition(".")[0] for line in lines}


def test_the_tour_runs_in_one_process_and_loads_no_more_than_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = run_cli(str(TOUR), "-p", "count=2")
    assert done.returncode == 0, done.stderr
    assert "cycle#3/regions[region-2]/train" in done.stdout
    assert "run SUCCEEDED" in done.stdout
    assert imported(done.stderr) & HEAVY == set()


def test_the_help_of_all_commands_does_not_load_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = kaon("--help")
    assert {name for name in ("run", "serve", "ui") if f" {name} " not in done.stdout} == set()
    assert imported(done.stderr) & (HEAVY - {"kaon_console"}) == set()
    assert not any(f"{part}." in done.stderr for part in ("sqlalchemy", "kaon_coordinator"))


def test_a_wrong_parameter_is_refused_by_name() -> None:
    done = run_cli(str(TOUR), "-p", "count=many")
    assert done.returncode == 1
    assert "count" in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_survive_the_end_of_the_process(tmp_path: Path) -> None:
    workflow = load_workflow(TOUR)
    settings = EmbeddedSettings(state=tmp_path / "state", slots=2)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        run = client.submit(workflow, {"count": 2}).run.run_id
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        deadline = time.monotonic() + 60
        while client.run(run).run.status != run_pb2.STATUS_SUCCEEDED:
            assert time.monotonic() < deadline, client.run(run)
            time.sleep(0.1)


def _break_database(settings: EmbeddedSettings, client: Client) -> None:
    """Take the tables of runs from a coordinator, and give it something to write: it ends."""
    with closing(sqlite3.connect(settings.state / "kaon.db")) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master").fetchall():
            if table.startswith("run"):
                database.execute(f"DROP TABLE IF EXISTS {table}")
    client.submit(load_workflow(TOUR), {"count": 2})


# Longer than these tests may take.
_ENDLESS = Patience(total=3600)
_HAS_ENDED = r"^Kaon in this process has ended: .*no such table"


def _submit_to_a_broken_database(settings: EmbeddedSettings) -> None:
    with (
        EmbeddedSystem(settings) as system,
        Client(Endpoints(server=system.address), patience=_ENDLESS) as client,
    ):
        _break_database(settings, client)


def test_a_command_says_at_once_why_kaon_in_its_process_has_ended(tmp_path: Path) -> None:
    settings = EmbeddedSettings(state=tmp_path / "state", slots=1)
    with pytest.raises(KaonError, match=_HAS_ENDED):
        _submit_to_a_broken_database(settings)


def _follow_over_a_broken_database(settings: EmbeddedSettings) -> None:
    with (
        EmbeddedSystem(settings) as system,
        Client(Endpoints(server=system.address), watch_patience=_ENDLESS) as client,
    ):
        run_id = client.submit(Workflow("waits", approval("ask"))).run.run_id
        updates = client.watch(run_id)
        next(updates)
        with pytest.raises(Unavailable):
            _break_database(settings, client)
        for _ in updates:
            pass


def test_a_run_is_not_followed_after_kaon_in_this_process_has_ended(tmp_path: Path) -> None:
    settings = EmbeddedSettings(state=tmp_path / "state", slots=1)
    with pytest.raises(KaonError, match=_HAS_ENDED):
        _follow_over_a_broken_database(settings)


ODD = """
from kaon import Workflow, steps
import {helper}

def work():
    from {helper} import value
    return {{"n": value}}

workflow = Workflow("odd", steps.python("work", work, outputs={{"n": int}}))
"""


@pytest.fixture
def forgets(tmp_path: Path) -> Iterator[None]:
    """Forgets the modules that were loaded from the test's directory."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if str(tmp_path) in f"{getattr(module, '__file__', '')} {getattr(module, '__path__', '')}":
            del sys.modules[name]


@pytest.mark.usefixtures("forgets")
def test_workflows_run_whatever_their_files_are_called(tmp_path: Path) -> None:
    names = {
        "test_flow.py": "conftest",
        "flow_test.py": "tests.value",
        "tests/conftest.py": "test_near",
    }
    workflows = []
    for number, (name, helper) in enumerate(names.items()):
        file = tmp_path / str(number) / name
        beside = file.parent / f"{helper.replace('.', '/')}.py"
        beside.parent.mkdir(parents=True)
        file.write_text(ODD.format(helper=helper))
        beside.write_text(f"value = {number}")
        workflows.append(load_workflow(file))
    settings = EmbeddedSettings(state=tmp_path / "state", slots=2)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        runs = [client.submit(each).run.run_id for each in workflows]
        for run in runs:
            *_, last = client.watch(run)
            assert last.event.run_ended.status == run_pb2.STATUS_SUCCEEDED, last


NAMED = """
import gzip, pathlib
from kaon import Workflow, steps

def write(context):
    for place in (context.work / "ratings.csv.gz", context.artifact_path("more", ".csv.gz")):
        place.write_bytes(gzip.compress(b"user,rating\\n1,5\\n"))
    return {"ratings": context.work / "ratings.csv.gz"}

def read(ratings, more):
    opened = {".gz": gzip.open, ".csv": open}
    texts = [opened[pathlib.Path(each).suffix](each, "rt").read() for each in (ratings, more)]
    return {"names": [pathlib.Path(each).name for each in (ratings, more)], "same": texts[0] == texts[1]}

code = 'case "$1" in */ratings.csv.gz) gzip -dc "$1" | wc -l > "$KAON_STEP_DIR/outputs/lines.json";; esac'
files = {"ratings": "dataset", "more": "dataset"}

def chain(isolation):
    made = steps.python(f"write-{isolation}", write, outputs=files, isolation=isolation)
    found, inputs = {"names": list, "same": bool}, {"ratings": made["ratings"], "more": made["more"]}
    other = {"warm": "process", "process": "warm"}[isolation]
    after = steps.python(f"read-{isolation}", read, outputs=found, isolation=other, **inputs)
    argv = ["sh", "-c", code, "sh", "${ratings}"]
    return made >> (after | steps.shell(f"count-{isolation}", argv, ratings=made["ratings"], outputs={"lines": int}))

workflow = Workflow("named", chain("warm") | chain("process"))
"""


def test_files_keep_their_names_from_step_to_step(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(NAMED)
    done = run_cli(str(file), "--state", str(tmp_path / "state"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    updates = [json.loads(line) for line in done.stdout.splitlines()]
    ends = [
        update["event"]["step_ended"]
        for update in updates
        if "step_ended" in update.get("event", {})
    ]
    given = {end["path"]: end["outputs"] for end in ends}
    for isolation in ("warm", "process"):
        assert given[f"read-{isolation}"] == {
            "names": ["ratings.csv.gz", "more.csv.gz"],
            "same": True,
        }
        assert given[f"count-{isolation}"] == {"lines": 2}


WORKFLOW = """
import pathlib, sys, time
from kaon import Workflow, steps

print("loading")

def work(wait):
    print("working")
    while wait:
        time.sleep(0.05)
    return {{"n": 1}}

def tidy(place):
    pathlib.Path(place).write_text("tidied")

body = steps.python("work", work, wait={wait}, outputs={{"n": int}})
workflow = Workflow("w", body, finally_=steps.python("tidy", tidy, place={place!r}))
"""


def _workflow(directory: Path, *, wait: bool) -> Path:
    file = directory / "flow.py"
    file.write_text(WORKFLOW.format(wait=wait, place=str(directory / "tidied")))
    return file


def test_a_relative_state_with_odd_characters_serves_steps_and_json_is_all_that_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = run_cli(str(_workflow(tmp_path, wait=False)), "--state", "../my state%20", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    updates = [json.loads(line) for line in done.stdout.splitlines()]
    assert updates[-1]["event"]["run_ended"]["status"] == "SUCCEEDED"
    assert "loading" in done.stderr
    assert {each.name for each in tmp_path.iterdir()} >= {"my state%20", "tidied"}
    assert not list((tmp_path / "here").iterdir())


STAGES = """
from kaon import Workflow, steps

def count():
    print("counting")
    return {"n": 4}

def halve(n):
    return {"half": n // ZERO}

first = steps.python("count", count, outputs={"n": int})
workflow = Workflow("stages", first >> steps.python("halve", halve, n=first["n"], outputs={"half": int}))
"""


def test_a_run_that_failed_is_resumed_with_the_code_that_the_file_has_now(tmp_path: Path) -> None:
    """Its successes are kept; and a change of what has succeeded is refused with the reason."""
    flow, state = tmp_path / "flow.py", tmp_path / "state"
    flow.write_text(STAGES.replace("ZERO", "0"))
    assert run_cli(str(flow), "--state", str(state)).returncode == 1
    flow.write_text(STAGES.replace("ZERO", "2").replace('"n": int}', '"n": float}'))
    refused = run_cli(str(flow), "--state", str(state), "--resume")
    assert refused.returncode == 1
    assert "count has other outputs in the new version" in refused.stderr
    flow.write_text(STAGES.replace("ZERO", "2"))
    resumed = run_cli(str(flow), "--state", str(state), "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "the code that the file has now" in resumed.stderr
    assert "1 step that succeeded is kept; halve begins anew" in resumed.stderr
    assert "counting" not in resumed.stdout


TALKATIVE = """
from kaon import Workflow, steps

def talk():
    print("\\n".join(f"line {n}" for n in range(1, 15_001)))
    raise ValueError("told")

workflow = Workflow("w", steps.python("talk", talk))
"""
# The file is named as its author knows it.
TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "flow.py", line 6, in talk',
    '    raise ValueError("told")',
    "ValueError: told",
]


def test_what_a_run_has_left_can_be_looked_at_and_a_long_log_has_its_end_and_is_there_as_a_whole(
    tmp_path: Path,
) -> None:
    (tmp_path / "flow.py").write_text(TALKATIVE)
    state = tmp_path / "state"
    settings = EmbeddedSettings(state=state, slots=1)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        run = client.submit(load_workflow(tmp_path / "flow.py")).run.run_id
        assert list(client.watch(run))[-1].event.run_ended.status == run_pb2.STATUS_FAILED
    with look(state) as address, Client(Endpoints(server=address)) as client:
        records = list(client.logs(run, "talk"))
    texts = [line.text for record in records for line in record.lines]
    numbers = [int(text.removeprefix("line ")) for text in texts if text.startswith("line ")]
    assert numbers == [*range(1, 2001), *range(7001 + len(TRACEBACK), 15_001)]
    assert texts[-len(TRACEBACK) :] == TRACEBACK
    (gap,) = (record.gap for record in records if record.HasField("gap"))
    assert (gap.first_sequence, gap.last_sequence) == (2001, 7000 + len(TRACEBACK))
    whole = kaon("logs", run, "talk", "--whole", "--state", str(state))
    assert (whole.returncode, whole.stderr) == (0, "")
    assert whole.stdout.splitlines() == [*(f"line {n}" for n in range(1, 15_001)), *TRACEBACK]


PRODUCTIVE = """
import pathlib
from kaon import Workflow, steps
from kaon.step import StepContext

def make(context: StepContext):
    table = context.artifact_path("table", ".csv")
    table.write_text("a,b\\n")
    model = context.artifact_path("model")
    model.mkdir()
    (model / "weights").write_text("1")

workflow = Workflow("w", steps.python("make", make, outputs={"table": "table", "model": "model"}))
"""


def test_the_artifacts_of_a_run_are_listed_printed_and_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Callable[..., Told]
) -> None:
    (tmp_path / "flow.py").write_text(PRODUCTIVE)
    state = tmp_path / "state"
    with (
        EmbeddedSystem(EmbeddedSettings(state=state, slots=1)) as system,
        Client(Endpoints(server=system.address)) as client,
    ):
        run = client.submit(load_workflow(tmp_path / "flow.py")).run.run_id
        assert list(client.watch(run))[-1].event.run_ended.status == run_pb2.STATUS_SUCCEEDED
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    kept = ("--state", str(state))
    listed = here("artifacts", "list", run, *kept, "--json")[1].splitlines()
    found = {each["output"]: each for each in map(json.loads, listed)}
    assert {name: (each["path"], each["type"]) for name, each in found.items()} == {
        "table": ("make", "table"),
        "model": ("make", "model"),
    }
    # A program of its own: nothing but the content is printed.
    assert kaon("artifacts", "cat", run, "make", "table", *kept).stdout == "a,b\n"
    code, place, errors = here("artifacts", "get", run, "make", "table", *kept)
    assert (code, errors) == (0, "")
    assert Path(place.strip()).read_text() == "a,b\n"
    assert here("artifacts", "get", run, "make", "model", "-o", "mine", *kept)[0] == 0
    assert Path("mine/weights").read_text() == "1"
    code, _, errors = here("artifacts", "get", run, "make", "table", *kept)
    assert (code, "table.csv exists" in errors) == (1, True)
    assert "name the output, one of model, table" in here("artifacts", "get", run, "make", *kept)[2]
    assert not [each for each in Path().iterdir() if each.name.startswith(".")]


GIVEN = """
from kaon import Workflow, param, steps
from kaon.step import StepContext

def count(context: StepContext, table, directory):
    lines = open(table).read().splitlines()
    return {"lines": len(lines), "name": table.name, "files": sorted(p.name for p in directory.path.iterdir())}

given = {"table": param("table", "dataset"), "directory": param("directory", "file")}
outputs = {"lines": int, "name": str, "files": list}
step = steps.python("count", count, **given, outputs=outputs)
workflow = Workflow("w", step, outputs={name: step[name] for name in outputs})
"""


def test_files_and_directories_of_the_command_line_are_given_to_a_run(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(GIVEN)
    table, directory = tmp_path / "ratings.csv", tmp_path / "more"
    table.write_text("a\nb\n")
    directory.mkdir()
    (directory / "one").write_text("1")
    workflow = load_workflow(tmp_path / "flow.py")
    texts = {"table": f"@{table}", "directory": f"@{directory}"}
    with (
        EmbeddedSystem(EmbeddedSettings(state=tmp_path / "state", slots=1)) as system,
        Client(Endpoints(server=system.address)) as client,
    ):
        params = parameters.parse(workflow.definition(), texts)
        found = client.submit(workflow, params).result(60)
        assert found == {"lines": 2, "name": "ratings.csv", "files": ["one"]}
        again = client.artifacts.put(directory)
        assert again.digest == client.artifacts.put(directory).digest
    with pytest.raises(InvalidValue, match="there is no file or directory"):
        parameters.parse(workflow.definition(), {"table": "@nowhere.csv"})


def test_who_looks_at_a_state_moves_nothing_and_a_directory_without_runs_is_refused(
    tmp_path: Path,
) -> None:
    workflow, settings = load_workflow(TOUR), EmbeddedSettings(state=tmp_path / "state", slots=1)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        run = client.submit(workflow, {"count": 2}).run.run_id
    with look(settings.state) as address, Client(Endpoints(server=address)) as client:
        seen = client.run(run).run.last_seq
    with look(settings.state) as address, Client(Endpoints(server=address)) as client:
        assert client.run(run).run.last_seq == seen
    with pytest.raises(NotFound, match="keeps no runs"), look(tmp_path):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_the_first_interrupt_stops_the_run_and_lets_its_hooks_run(tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("kaon"))
    # Tests that run in the background of a shell ignore interrupts, and so would what they start.
    hearing = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    argv = [sys.executable, "-c", hearing, program, "run", str(_workflow(tmp_path, wait=True))]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "work  RUNNING" not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
        assert process.wait() == 2, told
    assert "its steps stop, then its hooks run" in told
    assert "is CANCELLED; cancelled steps: work." in told
    assert (tmp_path / "tidied").read_text() == "tidied"


def test_a_step_that_nothing_here_can_execute_is_refused_at_once_and_pools_are_served(
    tmp_path: Path,
) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text(
        "from kaon import Workflow, steps\n"
        'workflow = Workflow("w", steps.shell("a", ["echo", "from gpu"], pool="gpu"))\n'
    )
    done = run_cli(str(flow))
    assert (done.returncode, "a | from gpu" in done.stdout) == (0, True), done.stdout + done.stderr
    flow.write_text(
        'from kaon import Workflow, steps\nworkflow = Workflow("w", steps.hive("rows", "SELECT 1"))\n'
    )
    done = run_cli(str(flow))
    assert done.returncode == 1
    assert "steps of type 'hive' (rows) cannot run here: set KAON_HIVE" in done.stderr
    assert "Submitted" not in done.stdout


@contextmanager
def _served(state: Path) -> Iterator[subprocess.Popen[str]]:
    """`kaon serve` on a free port, until the context is left."""
    program = str(Path(sys.executable).with_name("kaon"))
    argv = [program, "serve", "--state", str(state), "--address", "127.0.0.1:0", "--drain", "0"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().split(" at ")[1].split()[0]


@pytest.mark.usefixtures("forgets")
def test_the_whole_system_serves_clients_from_one_process_and_goes_on_after_a_restart(
    tmp_path: Path,
) -> None:
    workflow, state = load_workflow(_workflow(tmp_path, wait=False)), tmp_path / "state"
    with _served(state) as process:
        with Client(Endpoints(server=_address(process))) as client:
            client.register(workflow)
            run = client.submit_registered("w").run.run_id
            assert list(client.watch(run))[-1].event.run_ended.status == run_pb2.STATUS_SUCCEEDED
        settings = EmbeddedSettings(state=state, slots=1)
        with (
            pytest.raises(Conflict, match=f"in use by process {process.pid}"),
            EmbeddedSystem(settings),
        ):
            pass
        process.terminate()
        assert "go on when kaon serve" in process.communicate()[1]
        assert process.returncode == 0
    with _served(state) as process:
        with Client(Endpoints(server=_address(process))) as client:
            assert client.run(run).run.status == run_pb2.STATUS_SUCCEEDED
        process.terminate()
        process.communicate()


BROKEN = """
from kaon import Workflow, steps

def numbers():
    return {"rows": [1, 2, 3]}

def add(rows, extra):
    breakpoint()
    total = sum(rows) + extra
    raise ValueError(f"total {total}")

made = steps.python("numbers", numbers, outputs={"rows": list})
workflow = Workflow("broken", made >> steps.python("add", add, rows=made["rows"], extra=4, outputs={"n": int}))
"""


def _kaon_asked(answers: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).with_name("kaon")), *words]
    return subprocess.run(
        argv, input=answers, capture_output=True, text=True, check=False, timeout=100
    )


def _ran(file: Path, state: Path) -> str:
    """The id of an ended run of a file's workflow."""
    settings = EmbeddedSettings(state=state, slots=1)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        run = client.submit(load_workflow(file)).run.run_id
        list(client.watch(run))
    return run


@pytest.mark.usefixtures("forgets")
def test_a_step_runs_alone_in_the_foreground_with_the_inputs_of_a_run_and_stops_at_breakpoints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, state = tmp_path / "flow.py", tmp_path / "state"
    file.write_text(BROKEN.replace("    breakpoint()\n", ""))
    run = _ran(file, state)
    capsys.readouterr()
    wanted = Wanted(workflow=load_workflow(file), step="numbers", state=state, run_id="", params={})
    assert execute(wanted) == 0
    assert capsys.readouterr().out == "output rows = [1, 2, 3]\n"
    with pytest.raises(
        InvalidValue, match="input rows of step add comes from other steps: give --from RUN"
    ):
        execute(replace(wanted, step="add"))
    assert execute(replace(wanted, step="add", run_id=run)) == 1
    told = capsys.readouterr().err
    assert "ValueError: total 10" in told
    assert "kaon_embedded" not in told
    assert first_failure(state, run) == "add"
    file.write_text(BROKEN)
    words = ("run", str(file), "--only", "add", "--from", run, "--state", str(state))
    stopped = _kaon_asked("p rows, extra\nc\n", *words)
    assert stopped.returncode == 1
    assert "([1, 2, 3], 4)" in stopped.stdout


def test_a_step_that_fails_is_repeated_under_the_debugger(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(BROKEN.replace("    breakpoint()\n", ""))
    debugged = _kaon_asked("p total\nq\n", "run", str(file), "--debug")
    assert debugged.returncode == 1
    assert "(Pdb) 10" in debugged.stdout


@pytest.mark.usefixtures("forgets")
def test_a_run_that_was_left_unfinished_never_goes_on_beside_a_new_one(tmp_path: Path) -> None:
    file, state = tmp_path / "flow.py", tmp_path / "state"
    # Not beside the file: it is no code.
    gate = tmp_path.with_name(f"{tmp_path.name}-go")
    file.write_text(
        "import pathlib\nfrom kaon import Workflow, steps\n"
        f"def work():\n    assert pathlib.Path({str(gate)!r}).exists(), 'not yet'\n    return 7\n"
        'workflow = Workflow("w", steps.python("work", work, outputs={"n": int}))\n'
    )
    settings = EmbeddedSettings(state=state, slots=1)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        run = client.submit(load_workflow(file)).run.run_id
        list(client.watch(run))
    left = leftovers(state)
    left.refuse()
    assert (left.unfinished, left.newest) == ((), run)
    unfinished = replace(left, unfinished=(run,))
    with pytest.raises(Conflict, match=f"has the unfinished run {run}"):
        unfinished.refuse()
    gate.touch()
    again = run_cli(str(file), "--state", str(state), "--resume")
    assert (again.returncode, "run SUCCEEDED" in again.stdout) == (0, True), (
        again.stdout + again.stderr
    )
    assert f"Resuming run {run} of w, version sha256:" in again.stderr
    assert leftovers(state).newest == run


@pytest.mark.usefixtures("forgets")
def test_a_run_that_has_not_ended_is_found_and_discarded(tmp_path: Path) -> None:
    workflow, state = load_workflow(_workflow(tmp_path, wait=True)), tmp_path / "state"
    settings = EmbeddedSettings(state=state, slots=1)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        run = client.submit(workflow).run.run_id
        client.pause(run)
    left = leftovers(state)
    assert left.unfinished == (run,)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        left.discard(client)
        list(client.watch(run))
    assert leftovers(state).unfinished == ()


def test_engines_that_the_environment_names_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = d.Block(name="publish", step=d.Step(type="publish"))
    definition = d.WorkflowDefinition(name="w", body=d.Graph(blocks=[publish]))
    with EmbeddedSystem(EmbeddedSettings(state=tmp_path / "without", slots=1)) as system:
        (told,) = system.lacks(definition)
        assert "KAON_PUBLISHER" in told
    monkeypatch.setenv("KAON_PUBLISHER", "127.0.0.1:7071")
    with EmbeddedSystem(EmbeddedSettings(state=tmp_path / "with", slots=1)) as system:
        assert system.lacks(definition) == []


def test_the_api_answers_when_the_runners_are_ready_and_they_end_when_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = Workflow("w", steps.shell("a", argv=["true"])).definition()
    made: list[RunnerService] = []
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = EmbeddedSettings(
            state=tmp_path / "state", slots=1, address=address, step_types=("shell",)
        )

        def make(*given: Any) -> RunnerService:
            made.append(build_runner(*given))
            return made[-1]

        with pytest.raises(Exception, match=address), EmbeddedSystem(settings, make):
            pass
        assert [runner.ready for runner in made] == [False]
    ready: list[bool] = []

    begin = ApplicationThread.start

    def start(thread: ApplicationThread) -> int:
        ready.extend(runner.ready for runner in made[1:])
        return begin(thread)

    monkeypatch.setattr(ApplicationThread, "start", start)
    with (
        EmbeddedSystem(settings, make) as system,
        Client(Endpoints(server=system.address)) as client,
    ):
        assert ready == [True]
        assert placement.problems(client, definition) == []
