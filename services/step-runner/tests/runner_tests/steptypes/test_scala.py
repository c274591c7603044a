"""Scala steps: compiled by the real compiler, run by a real JVM."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from engines import (
    CANCEL_SECONDS,
    artifact,
    bundle,
    content,
    error,
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

MEAN = """
package stats

import com.fasterxml.jackson.databind.node.DoubleNode
import java.nio.file.{Files, Paths}
import scala.jdk.CollectionConverters._

object Mean {
  def main(arguments: Array[String]): Unit = {
    val numbers = Files.readAllLines(Paths.get(Kaon.inputPath("numbers"))).asScala.map(_.toDouble)
    Kaon.progress(0.5, "half")
    println(s"${numbers.size} numbers")
    Kaon.output("mean", DoubleNode.valueOf(numbers.sum / numbers.size * Kaon.input("factor").asDouble))
    Files.write(Kaon.artifactPath("report"), "done".getBytes)
  }
}
"""
ENDLESS = """
import java.nio.file.{Files, Paths}

object Endless {
  def main(arguments: Array[String]): Unit = {
    Files.write(Paths.get(Kaon.input("path").asText), ProcessHandle.current.pid.toString.getBytes)
    while (true) math.sqrt(math.random())
  }
}
"""
FAILS = 'object Fails { def main(arguments: Array[String]): Unit = sys.error("no stable model") }\n'
WRONG = "object Wrong { def main(arguments: Array[String]): Unit = undefinedName }\n"
HEARS = """
import com.fasterxml.jackson.databind.node.TextNode

object Hears {
  def main(arguments: Array[String]): Unit = {
    val texts = Iterator.continually(Kaon.nextSignal()).take(2).map(_.get("payload").asText)
    Kaon.output("heard", TextNode.valueOf(texts.mkString(" ")))
  }
}
"""
FILES = {
    "Hears.scala": HEARS,
    "Mean.scala": MEAN,
    "Endless.scala": ENDLESS,
    "Fails.scala": FAILS,
    "Wrong.scala": WRONG,
    "Two.scala": FAILS + WRONG,
    "some.jar": "",
}


@pytest.fixture
def code(system: MemorySystem) -> str:
    return bundle(system, FILES)


def test_a_source_is_compiled_once_and_follows_the_step_protocol(
    system: MemorySystem, code: str, tmp_path: Path
) -> None:
    numbers = tmp_path / "numbers"
    numbers.write_text("1\n2\n6\n")
    for first in (True, False):
        wanted = request(
            "scala",
            {"file": "Mean.scala"},
            inputs={"numbers": artifact(system, numbers, "file"), "factor": 2},
            outputs={"mean": "float", "report": "text"},
            bundle=code,
        )
        began = time.monotonic()
        found = outputs(run(system, wanted))
        print(
            f"scala: {'compiled and run' if first else 'run'} in {time.monotonic() - began:.2f} s"
        )
        assert found["mean"] == 6.0
        assert content(system, found["report"]) == b"done"
        assert progress(system, wanted) == ["half"]
        assert ("compiling Mean.scala" in texts(system, wanted)) is first
        assert "3 numbers" in texts(system, wanted)


def test_steps_at_the_same_time_compile_a_source_once_and_its_exception_is_shown(
    system: MemorySystem, code: str
) -> None:
    wanted = [request("scala", {"file": "Fails.scala"}, bundle=code) for _ in range(2)]
    system.release(*wanted)
    for each in wanted:
        failed = error(system.final(each.key, 60))
        assert failed.type == "ExitCode"
        assert "no stable model" in failed.details
    assert sum("compiling Fails.scala" in texts(system, each) for each in wanted) == 1


def test_an_error_of_the_compiler_is_shown(system: MemorySystem, code: str) -> None:
    failed = error(run(system, request("scala", {"file": "Wrong.scala"}, bundle=code)))
    assert "not found: value undefinedName" in failed.details
    assert "Wrong.scala does not compile" in failed.details


def test_the_object_to_run_must_be_clear(system: MemorySystem, code: str) -> None:
    failed = error(run(system, request("scala", {"file": "Two.scala"}, bundle=code)))
    assert "has 2 objects with a main method" in failed.details
    assert "compiling" not in failed.details, "what is unclear is told before the compiler runs"
    assert 'give "main"' in user_error(
        run(system, request("scala", {"file": "some.jar"}, bundle=code))
    )


@pytest.mark.parametrize("way", ["cancel", "kill"])
def test_nothing_is_left_of_an_endless_program(
    system: MemorySystem, code: str, tmp_path: Path, way: str
) -> None:
    wanted = request(
        "scala", {"file": "Endless.scala"}, inputs={"path": str(tmp_path / "pid")}, bundle=code
    )
    system.release(wanted)
    pid = read_pid(tmp_path / "pid", 60)
    began = time.monotonic()
    if way == "cancel":
        system.revoke(wanted.key, runner_pb2.REVOKE_REASON_CANCELLED)
        assert system.final(wanted.key).WhichOneof("event") == "stopped"
        print(f"scala: cancelled in {time.monotonic() - began:.2f} s")
    else:
        os.kill(pid, signal.SIGKILL)
        assert error(system.final(wanted.key)).type == "Signal"
    assert time.monotonic() - began < CANCEL_SECONDS
    assert not alive(pid)


def test_a_program_hears_signals_each_once(system: MemorySystem, code: str) -> None:
    wanted = request("scala", {"file": "Hears.scala"}, outputs={"heard": "string"}, bundle=code)
    system.release(wanted)
    for seq, payload in ((1, "go"), (1, "go"), (2, "x" * 10_000)):
        system.signal(wanted.key, "order", payload, seq)
    assert outputs(system.final(wanted.key, 120)) == {"heard": "go " + "x" * 10_000}
