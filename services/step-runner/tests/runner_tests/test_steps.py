"""What becomes of steps on a real runner, over the in-memory transport."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MemorySystem, python, request, shell

from kaon.dsl.bundle import make_bundle
from kaon_artifacts import Artifact, ArtifactStore
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySystem]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "code"))
        with MemorySystem(tmp_path_factory.mktemp("work")) as system:
            yield system


def run(system: MemorySystem, request: step_pb2.StepRequest) -> step_pb2.StepEvent:
    system.release(request)
    return system.final(request.key)


def outputs(event: step_pb2.StepEvent) -> dict[str, object]:
    assert event.WhichOneof("event") == "succeeded", event
    return {name: json.loads(text) for name, text in event.succeeded.outputs_json.items()}


def error(event: step_pb2.StepEvent) -> step_pb2.StepError:
    assert event.WhichOneof("event") == "failed", event
    return event.failed.error


def stored(system: MemorySystem, log_json: str) -> bytes:
    with ArtifactStore(system.settings.artifacts).open(
        Artifact.from_json(json.loads(log_json)["artifact"])
    ) as file:
        return bytes(file.read())


def test_a_function_gets_its_inputs_and_gives_its_outputs(system: MemorySystem) -> None:
    event = run(system, python("add", inputs={"a": 20, "b": 22}, outputs={"sum": "int"}))
    assert outputs(event) == {"sum": 42}


def test_a_step_is_reported_as_started_and_then_as_succeeded(system: MemorySystem) -> None:
    wanted = python("nothing")
    run(system, wanted)
    assert system.of(wanted.key) == ["started", "succeeded"]


def test_steps_of_one_bundle_share_a_warm_process(system: MemorySystem) -> None:
    pids = {
        str(outputs(run(system, python("whoami", outputs={"pid": "int"})))["pid"]) for _ in range(5)
    }
    assert len(pids) == 1


def test_an_isolated_step_has_a_process_of_its_own(system: MemorySystem) -> None:
    pids = {
        str(
            outputs(run(system, python("whoami", outputs={"pid": "int"}, isolation="PROCESS")))[
                "pid"
            ]
        )
        for _ in range(2)
    }
    assert len(pids) == 2


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_everything_that_a_step_prints_is_captured_with_its_stream(
    system: MemorySystem, isolation: str
) -> None:
    wanted = python("speak", inputs={"text": "grüezi"}, isolation=isolation)
    log_json = run(system, wanted).succeeded.log_json
    lines = system.wait(lambda: len(found := system.lines(wanted.key)) >= 4 and found)
    out = [line.text for line in lines if line.stream == log_pb2.STREAM_STDOUT]
    assert sorted(out) == ["by a child", "by descriptor", "grüezi"]
    assert [line.text for line in lines if line.stream == log_pb2.STREAM_STDERR] == ["to stderr"]
    assert [line.sequence for line in lines] == [1, 2, 3, 4]
    kept = stored(system, log_json).decode().splitlines()
    assert sorted(kept) == ["by a child", "by descriptor", "grüezi", "to stderr"]


def test_a_step_that_prints_nothing_has_no_log(system: MemorySystem) -> None:
    assert run(system, python("nothing")).succeeded.log_json == ""


def test_lines_are_attributed_to_the_step_that_printed_them(system: MemorySystem) -> None:
    wanted = [python("speak", inputs={"text": f"step {number}"}) for number in range(12)]
    system.release(*wanted)
    for number, one in enumerate(wanted):
        system.final(one.key)
        assert f"step {number}" in [line.text for line in system.lines(one.key)]
        assert len(system.lines(one.key)) == 4


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_progress_metrics_and_checkpoints_are_reported(
    system: MemorySystem, isolation: str
) -> None:
    wanted = python("chatty", outputs={"last": "any"}, isolation=isolation, checkpoint={"epoch": 2})
    assert outputs(run(system, wanted)) == {"last": {"epoch": 2}}
    assert system.of(wanted.key) == ["started", "progress", "metric", "checkpointed", "succeeded"]
    events = {
        event.WhichOneof("event"): event for event in system.events if event.key == wanted.key
    }
    assert (events["progress"].progress.fraction, events["progress"].progress.message) == (
        0.5,
        "half",
    )
    assert (events["metric"].metric.name, events["metric"].metric.value) == ("rmse", 0.9)
    assert json.loads(events["checkpointed"].checkpointed.checkpoint_json) == {"epoch": 3}


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_a_checkpoint_longer_than_a_line_of_the_channel_is_kept(
    system: MemorySystem, isolation: str
) -> None:
    wanted = python("save_much", isolation=isolation)
    run(system, wanted)
    assert system.of(wanted.key) == ["started", "checkpointed", "succeeded"]
    event = next(
        e for e in system.events if e.key == wanted.key and e.WhichOneof("event") == "checkpointed"
    )
    assert json.loads(event.checkpointed.checkpoint_json) == {"text": "s" * 30_000}


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_an_exception_fails_the_step_with_its_type_message_and_line(
    system: MemorySystem, isolation: str
) -> None:
    failed = error(run(system, python("fail", isolation=isolation)))
    assert (failed.error_class, failed.type) == (step_pb2.ERROR_CLASS_USER, "ValueError")
    assert failed.message.startswith("the data is odd (runner_test_steps.py:")
    assert 'raise ValueError("the data is odd")' in failed.details
    assert "kaon/step" not in failed.details


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_an_exit_code_fails_the_step(system: MemorySystem, isolation: str) -> None:
    failed = error(run(system, python("leave", inputs={"code": 3}, isolation=isolation)))
    assert (failed.type, failed.message) == ("ExitCode", "the step ended with exit code 3")


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_an_end_by_signal_names_the_signal(system: MemorySystem, isolation: str) -> None:
    failed = error(run(system, python("die", isolation=isolation)))
    assert (failed.type, failed.message) == ("Signal", "the step was ended by SIGKILL")


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_outputs_other_than_declared_fail_the_step_and_are_named(
    system: MemorySystem, isolation: str
) -> None:
    failed = error(
        run(system, python("wrong_outputs", outputs={"sum": "int"}, isolation=isolation))
    )
    assert failed.type == "OutputMismatch"
    assert "did not produce sum (int)" in failed.message
    assert "produced other, which it does not declare" in failed.message


def test_an_output_of_another_type_fails_the_step(system: MemorySystem) -> None:
    failed = error(run(system, python("wrong_type", outputs={"sum": "int"})))
    assert failed.message == 'output sum is declared as int, the step produced "a text"'


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_a_step_that_takes_too_long_is_ended_and_fails(
    system: MemorySystem, isolation: str
) -> None:
    failed = error(
        run(system, python("sleep", inputs={"seconds": 60}, timeout_ms=300, isolation=isolation))
    )
    assert (failed.error_class, failed.type) == (step_pb2.ERROR_CLASS_USER, "Timeout")
    assert "0.3 s" in failed.message


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_an_artifact_goes_from_one_step_to_the_next(system: MemorySystem, isolation: str) -> None:
    made = outputs(
        run(
            system,
            python("write_model", outputs={"model": "model", "rmse": "float"}, isolation=isolation),
        )
    )
    model = made["model"]
    assert isinstance(model, dict)
    digest = "sha256:" + hashlib.sha256(b"weights").hexdigest()
    assert model["artifact"] == {"digest": digest, "size": 7, "type": "model", "name": "model"} | {
        name: model["artifact"][name] for name in ("uri", "media_type")
    }
    wanted = {"text": "string", "digest": "string"}
    read = outputs(
        run(
            system,
            python("read_model", inputs={"model": model}, outputs=wanted, isolation=isolation),
        )
    )
    assert read == {"text": "weights", "digest": digest}


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_a_step_passes_on_artifacts_that_it_is_given(system: MemorySystem, isolation: str) -> None:
    made = outputs(run(system, python("write_model", outputs={"model": "model", "rmse": "float"})))[
        "model"
    ]
    wanted = {"model": "model", "models": "list", "by_name": "any"}
    passed = outputs(
        run(
            system,
            python("pass_on", inputs={"model": made}, outputs=wanted, isolation=isolation),
        )
    )
    digest = made["artifact"]["digest"]
    seen = (passed["model"], passed["models"][0], passed["by_name"]["model"])
    assert [each["artifact"]["digest"] for each in seen] == [digest] * 3


# Who knows a digest has nothing: the coordinator grants to a tenant what its steps give.
@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
@pytest.mark.parametrize(("kind", "nested"), [("file", False), ("list", True), ("any", True)])
def test_a_step_gives_no_artifact_of_which_it_knows_the_digest_only(
    system: MemorySystem, isolation: str, kind: str, nested: bool
) -> None:
    digest = "sha256:" + hashlib.sha256(b"of another tenant").hexdigest()
    wanted = python(
        "refer_to",
        inputs={"digest": digest, "nested": nested},
        outputs={"out": kind},
        isolation=isolation,
    )
    failed = error(run(system, wanted))
    assert (failed.error_class, failed.type) == (step_pb2.ERROR_CLASS_USER, "OutputMismatch")
    assert f"output out refers to artifact {digest}, which is none of the step's" in failed.message


# Its content would come in its place, with all that it refers to.
@pytest.mark.parametrize("kind", ["list", "value"])
def test_a_step_gives_no_reference_of_a_type_that_runners_unpack(
    system: MemorySystem, kind: str
) -> None:
    made = outputs(run(system, python("write_model", outputs={"model": "model", "rmse": "float"})))[
        "model"
    ]
    mine = {"artifact": {**made["artifact"], "type": kind}}
    code = """printf '%s' "$1" > "$KAON_STEP_DIR/outputs/out.json\""""
    told = shell(
        "sh", "-c", code, "sh", json.dumps([mine]), inputs={"model": made}, outputs={"out": "list"}
    )
    failed = error(run(system, told))
    assert failed.type == "OutputMismatch"
    assert f"an artifact of type '{kind}', which coordinators make" in failed.message


def test_a_program_gives_no_artifact_of_which_it_knows_the_digest_only(
    system: MemorySystem,
) -> None:
    digest = "sha256:" + hashlib.sha256(b"of another tenant").hexdigest()
    text = json.dumps([{"artifact": {"uri": "file:///x", "digest": digest, "type": "file"}}])
    code = """printf '%s' "$1" > "$KAON_STEP_DIR/outputs/out.json\""""
    told = shell("sh", "-c", code, "sh", text, outputs={"out": "list"})
    failed = error(run(system, told))
    assert failed.type == "OutputMismatch"
    assert digest in failed.message


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
@pytest.mark.parametrize("where", ["work", "artifacts", "elsewhere"])
def test_a_file_keeps_its_name_from_one_step_to_the_next(
    system: MemorySystem, isolation: str, where: str
) -> None:
    made = outputs(
        run(
            system,
            python(
                "write_ratings",
                inputs={"where": where},
                outputs={"ratings": "dataset", "parts": "dataset"},
                isolation=isolation,
            ),
        )
    )
    assert made["ratings"]["artifact"]["name"] == "ratings.csv.gz"
    assert made["parts"]["artifact"]["name"] == "parts"
    wanted = {"names": "list", "text": "string"}
    assert outputs(
        run(system, python("read_ratings", inputs=made, outputs=wanted, isolation=isolation))
    ) == {
        "names": ["ratings.csv.gz", "ratings.csv.gz", "parts", "one.csv"],
        "text": "a,b",
    }
    code = """case "$1" in */ratings.csv.gz) echo "\\"$(gzip -dc "$1")\\"" > "$KAON_STEP_DIR/outputs/text.json";; esac"""
    told = shell("sh", "-c", code, "sh", "${ratings}", inputs=made, outputs={"text": "string"})
    assert outputs(run(system, told)) == {"text": "a,b"}


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_a_directory_that_is_returned_is_the_same_artifact_in_a_warm_process_and_in_one_of_its_own(
    system: MemorySystem, isolation: str
) -> None:
    wanted = {"model": "model", "digest": "string"}
    made = outputs(run(system, python("return_directory", outputs=wanted, isolation=isolation)))
    assert made["model"]["artifact"]["digest"] == made["digest"]


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin/absent"])
def test_a_returned_path_that_is_no_file_fails_the_step_by_name(
    system: MemorySystem, isolation: str, path: str
) -> None:
    wanted = python(
        "give_back", inputs={"path": path}, outputs={"model": "model"}, isolation=isolation
    )
    failed = error(run(system, wanted))
    assert (failed.error_class, failed.type in {"OutputMismatch", "InvalidOutputs"}) == (
        step_pb2.ERROR_CLASS_USER,
        True,
    )
    assert path.rpartition("/")[2] in failed.message


def test_values_larger_than_a_packet_pass_both_ways(system: MemorySystem) -> None:
    text = "z" * 100_000
    assert outputs(
        run(system, python("echo_size", inputs={"text": text}, outputs={"size": "int"}))
    ) == {"size": 100_000}
    assert outputs(
        run(system, python("large", inputs={"size": 100_000}, outputs={"text": "string"}))
    ) == {"text": "y" * 100_000}


def test_a_value_too_large_for_the_history_is_refused_with_advice(system: MemorySystem) -> None:
    failed = error(
        run(system, python("large", inputs={"size": 300_000}, outputs={"text": "string"}))
    )
    assert failed.type == "OutputTooLarge"
    assert "declare it as an artifact" in failed.message


def test_a_function_that_does_not_exist_is_named(system: MemorySystem) -> None:
    failed = error(run(system, python("absent")))
    assert failed.type == "InvalidTarget"
    assert "'absent'" in failed.message


def test_code_comes_from_the_bundle(system: MemorySystem, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr(
            "bundled/steps.py", "def answer():\n    return {'value': 'from the bundle'}\n"
        )
        bundle.writestr("bundled/__init__.py", "")
        bundle.writestr("hello.sh", "echo hello")
    digest = ArtifactStore(system.settings.artifacts).put_file(archive, "file").digest
    wanted = request(
        "python", {"entry": "bundled.steps:answer"}, outputs={"value": "string"}, bundle=digest
    )
    assert outputs(run(system, wanted)) == {"value": "from the bundle"}
    system.wait(lambda: any(digest in beat.warm_bundles for beat in system.heartbeats))


def test_a_shell_step_runs_programs_of_its_bundle(system: MemorySystem, tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "bin").mkdir(parents=True)
    load, plain = code / "bin" / "load", code / "plain"
    load.write_text(
        '#!/bin/sh\nprintf \'"%s %s"\' "$1" "$(cat "$KAON_BUNDLE/plain")" > "$KAON_STEP_DIR/outputs/seen.json"\n'
    )
    load.chmod(0o755)
    plain.write_text("told")
    made = make_bundle(code)
    digest = ArtifactStore(system.settings.artifacts).put_bytes(made.data, "file").digest
    for argv in (("./bin/load", "a"), ("sh", "${KAON_BUNDLE}/bin/load", "a")):
        assert outputs(run(system, shell(*argv, outputs={"seen": "string"}, bundle=digest))) == {
            "seen": "a told"
        }
    for argv, told in (
        (("./plain",), "chmod +x"),
        (("./absent",), "does not have"),
        (("../../x",), "does not have"),
    ):
        failed = error(run(system, shell(*argv, bundle=digest)))
        assert (failed.error_class, told in failed.message) == (step_pb2.ERROR_CLASS_USER, True), (
            failed
        )
    assert "has no code bundle" in error(run(system, shell("./bin/load"))).message


def test_a_bundle_that_is_not_there_is_a_fault_of_the_platform(system: MemorySystem) -> None:
    wanted = request("python", {"entry": "a:b"}, bundle="sha256:" + 64 * "0")
    failed = error(run(system, wanted))
    assert (failed.error_class, failed.type) == (step_pb2.ERROR_CLASS_PLATFORM, "CodeBundle")


def test_an_argument_with_spaces_and_quotes_stays_one_argument(system: MemorySystem) -> None:
    code = (
        "import sys, json, os; seen = sys.argv[1] + os.environ['KAON_INPUT_TEXT']; "
        "json.dump(seen, open(os.environ['KAON_STEP_DIR'] + '/outputs/seen.json', 'w'))"
    )
    text = """a 'b' "c" $HOME; rm"""
    wanted = shell(
        sys.executable, "-c", code, "${text}", inputs={"text": text}, outputs={"seen": "string"}
    )
    assert outputs(run(system, wanted)) == {"seen": text + text}


def test_the_environment_is_filled_in_as_arguments_are(system: MemorySystem) -> None:
    code = 'printf \'"%s"\' "$SAID" > "$KAON_STEP_DIR/outputs/seen.json"'
    wanted = shell(
        "sh",
        "-c",
        code,
        env={"SAID": "<${text}>"},
        inputs={"text": "hi"},
        outputs={"seen": "string"},
    )
    assert outputs(run(system, wanted)) == {"seen": "<hi>"}
    assert (
        "env SAID names ${absent}"
        in error(run(system, shell("env", env={"SAID": "${absent}"}))).message
    )


def test_a_failing_program_shows_the_end_of_its_stderr(system: MemorySystem) -> None:
    failed = error(run(system, shell("sh", "-c", "echo out of luck >&2; exit 4")))
    assert (failed.type, failed.message, failed.details) == (
        "ExitCode",
        "the step ended with exit code 4",
        "out of luck\n",
    )


def test_a_program_that_does_not_exist_is_named(system: MemorySystem) -> None:
    failed = error(run(system, shell("no-such-program")))
    assert (failed.error_class, failed.type) == (step_pb2.ERROR_CLASS_USER, "CannotStart")
    assert "'no-such-program'" in failed.message


def test_a_placeholder_without_input_is_named(system: MemorySystem) -> None:
    assert "${absent}" in error(run(system, shell("echo", "${absent}"))).message


def test_values_may_be_written_as_texts(system: MemorySystem) -> None:
    code = (
        "cd $KAON_STEP_DIR/outputs && printf 'two\nlines\n' > said.txt && echo 3 > n.txt && "
        "echo 2026-01-31 > day.txt && echo '[1]' > rows.json"
    )
    kinds = {"said": "string", "n": "int", "day": "date", "rows": "list"}
    told = outputs(run(system, shell("sh", "-c", code, outputs=kinds)))
    assert told == {"said": "two\nlines", "n": 3, "day": "2026-01-31", "rows": [1]}
    twice = "cd $KAON_STEP_DIR/outputs && echo 1 > n.txt && echo 1 > n.json"
    refused = error(run(system, shell("sh", "-c", twice, outputs={"n": "int"})))
    assert "outputs/n.json and .txt" in refused.message


@pytest.mark.parametrize(
    ("kind", "value"), [("string", "a\nb c"), ("file", b"a\nb c\n"), ("int", None)]
)
def test_what_a_program_prints_may_be_an_output_and_is_in_its_log(
    system: MemorySystem, kind: str, value: object
) -> None:
    code = "echo a; echo no >&2; echo 'b c'"
    config = {"argv": ["sh", "-c", code], "env": {}, "stdout": "said"}
    wanted = request("shell", config, outputs={"said": kind})
    event = run(system, wanted)
    if value is None:
        assert "outputs/said.txt is not one JSON value" in error(event).message
    elif isinstance(value, bytes):
        assert stored(system, event.succeeded.outputs_json["said"]) == value
    else:
        assert outputs(event) == {"said": value}
    assert sorted(line.text for line in system.lines(wanted.key)) == ["a", "b c", "no"]


def test_a_program_whose_output_is_kept_fails_with_its_own_code(system: MemorySystem) -> None:
    config = {"argv": ["sh", "-c", "echo a; exit 7"], "env": {}, "stdout": "said"}
    told = error(run(system, request("shell", config, outputs={"said": "string"})))
    assert (told.type, "7" in told.message) == ("ExitCode", True)


def test_two_dollar_signs_stand_for_one_before_a_brace(system: MemorySystem) -> None:
    wanted = shell("echo", "$${text} ${text}", inputs={"text": "x"}, env={"A": "$${B}"})
    run(system, wanted)
    assert [line.text for line in system.lines(wanted.key)] == ["${text} x"]


def test_a_step_of_100_mb_of_output_neither_fills_the_memory_nor_fails(
    system: MemorySystem,
) -> None:
    wanted = python("print_much", inputs={"megabytes": 100})
    beside = [python("nothing") for _ in range(20)]
    system.release(wanted)
    system.started(wanted.key)
    for one in beside:
        system.release(one)
        assert system.final(one.key, 5).WhichOneof("event") == "succeeded"
    event = system.final(wanted.key, 60)
    assert event.WhichOneof("event") == "succeeded"
    records = [record for record in system.logs if record.key == wanted.key]
    sent = sum(len(record.lines) for record in records)
    dropped = sum(record.dropped for record in records)
    remarks = [
        line for record in records for line in record.lines if line.stream == log_pb2.STREAM_SYSTEM
    ]
    assert sent - len(remarks) + dropped == 1_000_000
    assert dropped > sent
    kept = stored(system, event.succeeded.log_json)
    assert 48 * 1024 * 1024 <= len(kept) <= 64 * 1024 * 1024 + 200
    assert b" bytes are left out here" in kept
    assert "64" in remarks[0].text or "67108864" in remarks[0].text


def test_a_text_without_a_line_end_is_shown_while_the_step_runs(system: MemorySystem) -> None:
    wanted = shell("sh", "-c", "printf 'enter: '; sleep 30")
    system.release(wanted)
    system.wait(lambda: [line.text for line in system.lines(wanted.key)] == ["enter: "], 5)
    system.revoke(wanted.key, 1)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"


def test_many_large_outputs_together_are_refused(system: MemorySystem) -> None:
    names = ["a", "b", "c"]
    wanted = python(
        "large_each",
        inputs={"size": 200_000, "names": names},
        outputs=dict.fromkeys(names, "string"),
    )
    assert error(run(system, wanted)).type == "OutputTooLarge"
