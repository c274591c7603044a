"""R steps in a real R."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest
from engines import (
    CANCEL_SECONDS,
    artifact,
    bundle,
    content,
    outputs,
    progress,
    run,
    texts,
    user_error,
)
from harness import MemorySystem, request
from processes import alive, read_pid

from kaonapi.runner.v1 import runner_pb2

pytestmark = pytest.mark.real

SCRIPT = """
ratings <- kaon_dataset("ratings")
kaon_progress(0.5, "fitting")
fit <- lm(y ~ x, data = ratings)
cat("slope ")
cat(round(coef(fit)[["x"]], 3), "\\n")
message("to stderr")
write.csv(data.frame(slope = coef(fit)[["x"]]), kaon_artifact_path("model"), row.names = FALSE)
kaon_output("rows", nrow(ratings))
kaon_output("region", kaon_input("region"))
kaon_output("leaks", exists("left_over"))
kaon_output("whole", 4)
left_over <- TRUE
"""
FUNCTION = """
describe <- function(ratings, region, flags, nothing, big) {
  list(
    frame = data.frame(x = ratings$x * 2),
    rows = nrow(ratings),
    region = region,
    flags = if (is.logical(flags)) rev(flags) else "no logical vector",
    nothing = is.null(nothing),
    big = big
  )
}
"""
ERROR = """
inner <- function(x) stop("no such region: ", x)
outer <- function(x) inner(x)
outer("Atlantis")
"""
ENDLESS = """
cat(Sys.getpid(), file = kaon_input("path"))
repeat { x <- sum(runif(1e6)) }
"""
SIGNALS = """
first <- kaon_wait_signal("order", 20)
second <- kaon_wait_signal()
kaon_output("heard", paste(first$payload$speed, second$name, length(kaon_signals()), is.null(kaon_wait_signal("x", 0.1))))
"""
FILES = {
    "r/script.R": SCRIPT,
    "r/function.R": FUNCTION,
    "r/error.R": ERROR,
    "r/endless.R": ENDLESS,
    "r/syntax.R": "x <- (1 + \n",
    "r/signals.R": SIGNALS,
    "r/missing.R": 'kaon_input("regoin")',
}


@pytest.fixture
def code(system: MemorySystem) -> str:
    return bundle(system, FILES)


@pytest.fixture(params=["parquet", "csv"])
def ratings(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.0, 6.0, 8.5]})
    path = tmp_path / "ratings"
    frame.to_parquet(path) if request.param == "parquet" else frame.to_csv(path, index=False)
    return path


def test_a_script_reads_frames_and_gives_its_outputs(
    system: MemorySystem, code: str, ratings: Path
) -> None:
    wanted = request(
        "r",
        {"file": "r/script.R"},
        inputs={"ratings": artifact(system, ratings, "dataset"), "region": "US"},
        outputs={
            "model": "model",
            "rows": "int",
            "region": "string",
            "leaks": "bool",
            "whole": "int",
        },
        bundle=code,
    )
    began = time.monotonic()
    found = outputs(run(system, wanted))
    print(f"r: {time.monotonic() - began:.2f} s")
    assert (found["rows"], found["region"], found["leaks"], found["whole"]) == (4, "US", False, 4)
    assert content(system, found["model"]).startswith(b'"slope"\n2.15')
    assert progress(system, wanted) == ["fitting"]
    printed = texts(system, wanted)
    assert "slope 2.15 " in printed
    assert "to stderr" in printed


def test_a_function_gets_its_inputs_as_arguments(
    system: MemorySystem, code: str, ratings: Path
) -> None:
    wanted = request(
        "r",
        {"file": "r/function.R", "function": "describe"},
        inputs={
            "ratings": artifact(system, ratings, "dataset"),
            "region": "ZÜ",
            "flags": [True, False],
            "nothing": None,
            "big": 2**40,
        },
        outputs={
            "frame": "dataset",
            "rows": "int",
            "region": "string",
            "flags": "list",
            "nothing": "bool",
            "big": "any",
        },
        bundle=code,
    )
    found = outputs(run(system, wanted))
    assert content(system, found.pop("frame")).decode().split() == ["x", "2.0", "4.0", "6.0", "8.0"]
    assert found == {
        "rows": 4,
        "region": "ZÜ",
        "flags": [False, True],
        "nothing": True,
        "big": 2**40,
    }


def test_the_next_step_of_a_bundle_starts_at_once(system: MemorySystem, code: str) -> None:
    files = {"r/pid.R": 'kaon_output("pid", Sys.getpid())'}
    code = bundle(system, files)
    pids, seconds = [], []
    for _ in range(3):
        began = time.monotonic()
        event = run(system, request("r", {"file": "r/pid.R"}, outputs={"pid": "int"}, bundle=code))
        seconds.append(time.monotonic() - began)
        pids.append(outputs(event)["pid"])
    print("r: " + ", ".join(f"{each:.2f} s" for each in seconds))
    assert len(set(pids)) == 1
    assert min(seconds[1:]) < seconds[0]


def test_an_error_has_rs_message_and_the_call(system: MemorySystem, code: str) -> None:
    wanted = request("r", {"file": "r/error.R"}, bundle=code)
    event = run(system, wanted)
    assert "no such region: Atlantis" in user_error(event)
    assert "in: inner(x)" in texts(system, wanted)


def test_a_script_that_cannot_be_parsed_says_where(system: MemorySystem, code: str) -> None:
    assert "syntax.R" in user_error(run(system, request("r", {"file": "r/syntax.R"}, bundle=code)))


def test_an_unknown_input_says_which_are_there(system: MemorySystem, code: str) -> None:
    wanted = request("r", {"file": "r/missing.R"}, inputs={"region": "US"}, bundle=code)
    assert "has no input regoin; it has: region" in user_error(run(system, wanted))


def test_a_cancel_ends_r_in_the_middle_of_a_computation(
    system: MemorySystem, code: str, tmp_path: Path
) -> None:
    wanted = request(
        "r", {"file": "r/endless.R"}, inputs={"path": str(tmp_path / "pid")}, bundle=code
    )
    system.release(wanted)
    pid = read_pid(tmp_path / "pid", 30)
    began = time.monotonic()
    system.revoke(wanted.key, runner_pb2.REVOKE_REASON_CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    assert time.monotonic() - began < CANCEL_SECONDS
    assert not alive(pid)
    print(f"r: cancelled in {time.monotonic() - began:.2f} s")


def test_a_script_hears_signals(system: MemorySystem, code: str) -> None:
    wanted = request("r", {"file": "r/signals.R"}, outputs={"heard": "string"}, bundle=code)
    system.release(wanted)
    system.signal(wanted.key, "order", {"speed": 2}, 1)
    system.signal(wanted.key, "other", None, 2)
    assert outputs(system.final(wanted.key, 60)) == {"heard": "2 other 0 TRUE"}
