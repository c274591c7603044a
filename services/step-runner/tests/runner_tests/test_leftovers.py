"""What a step leaves behind, or names, must neither hang nor kill its runner, nor make it read what is not the step's."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaon_artifacts import ArtifactStore
from kaon_runner.artifacts.gateway import ArtifactGateway
from kaon_runner.disk import space
from kaon_runner.disk.step_directory import StepDirectory
from kaon_runner.errors import UserStepError
from kaon_runner.execution.in_command import CommandRun
from kaon_runner.logs.step_log import StepLog
from kaon_runner.logs.store import LogStore
from kaon_runner.outbox import reports
from kaon_runner.outputs import collecting
from kaon_runner.preparation.environments import Environments
from kaon_runner.preparation.preparer import Preparer
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import CommandLaunch
from kaon_runner.supervision.child import Bounds, Ending
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def _directory_with(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def both(path: Path) -> None:
        path.mkdir()
        make(path / "inner")

    return both


HOSTILE: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "out": lambda path: path.symlink_to("/etc/hostname"),
    "broken": lambda path: path.symlink_to("nothing"),
    "circle": lambda path: path.symlink_to(path.name),
    "socket": _socket,
}
LEFT = [("outputs/x.json", make) for make in (*HOSTILE.values(), Path.mkdir)]
LEFT += [("artifacts/x", make) for make in HOSTILE.values()]
LEFT += [("artifacts/x", _directory_with(make)) for make in HOSTILE.values()]
VALUES = ['"\\ud800"', "[" * 100_000, '{"k\\udfff":1}', "\xff", "NaN", " " * (5 << 20)]
LEFT += [
    ("outputs/x.json", lambda path, text=text: path.write_text(text, "latin-1")) for text in VALUES
]  # type: ignore[misc]


@pytest.fixture
def directory(tmp_path: Path) -> StepDirectory:
    made = StepDirectory(place=str(tmp_path / "s"))
    made.create()
    return made


@pytest.fixture
def gateway(tmp_path: Path) -> ArtifactGateway:
    return ArtifactGateway(
        Settings(artifacts=(tmp_path / "store").as_uri(), work=tmp_path / "work")
    )


def spec_of(kind: int) -> step_pb2.StepSpec:
    return step_pb2.StepSpec(outputs={"x": kind})  # type: ignore[dict-item]


def collect(directory: StepDirectory, gateway: ArtifactGateway, kind: int) -> dict[str, str]:
    return collecting.collect(spec_of(kind), directory, gateway, {}, frozenset)


@pytest.mark.parametrize(("name", "make"), LEFT)
def test_what_cannot_be_an_output_is_the_users_error_and_is_named(
    directory: StepDirectory, gateway: ArtifactGateway, name: str, make: Callable[[Path], object]
) -> None:
    make(directory.root / name)
    kind = definition_pb2.VALUE_TYPE_MODEL if "artifacts" in name else definition_pb2.VALUE_TYPE_ANY
    with pytest.raises(UserStepError, match="x") as raised:
        collect(directory, gateway, kind)
    assert reports.from_exception(raised.value).error.type == "OutputMismatch"


@pytest.mark.parametrize(
    ("written", "collected"),
    [("[1, 2.5]", "[1.0,2.5]"), ("[]", "[]"), ('[1, "a"]', None), ("[null]", None)],
)
def test_what_stands_inside_of_an_output_is_of_its_declared_type(
    directory: StepDirectory, gateway: ArtifactGateway, written: str, collected: str | None
) -> None:
    (directory.outputs / "x.json").write_text(written)
    spec = spec_of(definition_pb2.VALUE_TYPE_LIST)
    spec.output_contents["x"].type = definition_pb2.VALUE_TYPE_FLOAT
    if collected is not None:
        assert collecting.collect(spec, directory, gateway, {}, frozenset) == {"x": collected}
        return
    with pytest.raises(UserStepError, match=r"output x is declared as list\[float\]: it must be"):
        collecting.collect(spec, directory, gateway, {}, frozenset)


def test_a_directory_of_outputs_that_leads_elsewhere_is_not_read(
    directory: StepDirectory, gateway: ArtifactGateway, tmp_path: Path
) -> None:
    (tmp_path / "x.json").write_text("1")
    directory.outputs.rmdir()
    directory.outputs.symlink_to(tmp_path)
    with pytest.raises(UserStepError, match="outputs is a link"):
        collect(directory, gateway, definition_pb2.VALUE_TYPE_ANY)


def test_a_model_with_a_link_to_its_latest_checkpoint_goes_on_as_it_is(
    directory: StepDirectory, gateway: ArtifactGateway
) -> None:
    model = directory.work / "model"
    (model / "checkpoint-100").mkdir(parents=True)
    (model / "checkpoint-100" / "w").write_bytes(b"w")
    (model / "latest").symlink_to("checkpoint-100")
    (directory.artifacts / "x").symlink_to(model)
    text = collect(directory, gateway, definition_pb2.VALUE_TYPE_MODEL)["x"]
    copy = gateway.fetch(json.loads(text)["artifact"])
    assert copy is not None
    assert os.readlink(copy / "latest") == "checkpoint-100"


def prepared(tmp_path: Path, gateway: ArtifactGateway, value_json: str) -> Any:
    preparer = Preparer(
        gateway,
        steps=tmp_path / "steps",
        scratch="file:///scratch",
        incarnation="life-1",
        environments=Environments(tmp_path / "cache", python=sys.executable),
    )
    key = step_pb2.StepKey(run_id="r", path="a")
    spec = step_pb2.StepSpec(inputs_json={"value": value_json})
    request = step_pb2.StepRequest(key=key, spec=spec)
    return preparer.prepare(request, lambda: None).context["inputs"]["value"]


@pytest.mark.parametrize(
    "digest", ["SECRET", "../secret", "sha256:../../secret", "sha256-x", 5, ["x"], {"a": 1}]
)
@pytest.mark.parametrize("kind", ["value", "list", "file", ["value"]])
def test_a_parameter_makes_the_runner_read_nothing_but_artifacts(
    tmp_path: Path, gateway: ArtifactGateway, digest: object, kind: object
) -> None:
    secret = tmp_path / "work" / "secret"
    secret.parent.mkdir()
    secret.write_text('"told"')
    reference = {
        "digest": str(secret) if digest == "SECRET" else digest,
        "type": kind,
        "uri": secret.as_uri(),
    }
    with pytest.raises(UserStepError) as raised:
        prepared(tmp_path, gateway, json.dumps({"artifact": reference}))
    assert raised.value.kind == "InvalidArtifact"
    assert "told" not in str(raised.value)


@pytest.mark.parametrize("name", ["artifact", "\\u0061rtifact"])
def test_a_reference_says_nothing_of_where_its_copy_is(
    tmp_path: Path, gateway: ArtifactGateway, name: str
) -> None:
    inputs = prepared(
        tmp_path, gateway, f'[{{"{name}":{{"uri":"s3://there/x","path":"/etc/hostname"}}}}]'
    )
    assert inputs == [{"artifact": {"uri": "s3://there/x"}}]


@pytest.mark.parametrize("text", [b"\xff", b"no json", b"[" * 100_000])
def test_an_artifact_that_is_no_kept_value_is_the_users_error(
    tmp_path: Path, gateway: ArtifactGateway, text: bytes
) -> None:
    kept = ArtifactStore((tmp_path / "store").as_uri()).put_bytes(text, "value").to_json()
    with pytest.raises(UserStepError, match="is no value that was kept"):
        prepared(tmp_path, gateway, json.dumps({"artifact": kept}))


def test_one_content_as_a_file_and_as_a_directory_does_not_take_the_others_place(
    tmp_path: Path, gateway: ArtifactGateway
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_text("x")
    kept = ArtifactStore((tmp_path / "store").as_uri()).put_directory(tmp_path / "d").to_json()
    as_file = gateway.fetch({**kept, "media_type": "text/plain"})
    as_directory = gateway.fetch(kept)
    assert as_file is not None
    assert as_file.is_file()
    assert as_directory is not None
    assert (as_directory / "x").is_file()


def test_a_local_copy_that_was_cut_short_is_fetched_anew(
    tmp_path: Path, gateway: ArtifactGateway
) -> None:
    kept = ArtifactStore((tmp_path / "store").as_uri()).put_bytes(b"whole").to_json()
    copy = gateway.fetch(kept)
    assert copy is not None
    copy.write_bytes(b"wh")
    assert gateway.fetch(kept) == copy
    assert copy.read_bytes() == b"whole"


async def spoken(tmp_path: Path, script: str) -> tuple[Ending, list[dict[str, Any]], str]:
    """What a shell step says on its events channel, and what is remarked about it."""
    directory = StepDirectory(place=str(tmp_path / "step"))
    directory.create()
    events: list[dict[str, Any]] = []
    lines: list[str] = []
    key = step_pb2.StepKey(run_id="run", path="step")

    def send(message: Any) -> bool:
        lines.extend(line.text for line in message.lines)
        return True

    log = StepLog(key, LogStore(tmp_path, "log", 1000), send)
    launch = CommandLaunch(argv=("sh", "-c", script))
    command = CommandRun(launch, directory, log, lambda event: events.append(dict(event)))
    async with asyncio.timeout(60):
        ending = await command.run(deadline_seconds=60, bounds=Bounds())
    log.flush()
    return ending, events, "\n".join(lines)


SAY = 'echo \'{"kind":"checkpoint","file":"checkpoint.json"}\' > $KAON_STEP_DIR/events'


@pytest.mark.parametrize(
    ("make", "told"),
    [
        ("mkfifo", "a named pipe"),
        ("ln -s /dev/zero", "a link"),
        ("mkdir", "a directory"),
        ("touch", "Expecting value"),
    ],
)
async def test_a_checkpoint_that_is_no_file_holds_nobody_up(
    tmp_path: Path, make: str, told: str
) -> None:
    ending, events, lines = await spoken(tmp_path, f"{make} $KAON_STEP_DIR/checkpoint.json; {SAY}")
    assert ending == Ending(code=0)
    assert events == []
    assert (
        f"a checkpoint cannot be read: {'' if make == 'touch' else 'checkpoint.json is '}{told}"
        in lines
    )


async def test_the_last_checkpoint_in_a_file_is_heard_before_the_end(tmp_path: Path) -> None:
    _, events, _ = await spoken(tmp_path, f"echo 7 > $KAON_STEP_DIR/checkpoint.json; {SAY}; {SAY}")
    assert events[-1] == {"kind": "checkpoint", "value": 7}


async def test_lines_that_nobody_can_read_are_remarked_and_the_next_is_heard(
    tmp_path: Path,
) -> None:
    deep = f"{sys.executable} -c 'print(\"[\"*100000)' > $KAON_STEP_DIR/events"
    good = 'echo \'{"kind":"progress"}\' > $KAON_STEP_DIR/events'
    _, events, lines = await spoken(tmp_path, f"{deep}; {good}")
    assert events == [{"kind": "progress"}]
    assert "does not follow the step protocol" in lines


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "metric", "name": "\ud800", "value": 1},
        {"kind": "metric", "name": "m", "value": 1, "step": 2**70},
        {"kind": "metric", "name": "m", "value": 1, "step": float("inf")},
        {"kind": "metric", "name": "m", "value": 10**400},
        {"kind": "progress", "message": "\ud800"},
        {"kind": "checkpoint", "value": "\ud800"},
        {"kind": []},
    ],
)
def test_what_a_step_says_amiss_is_known_as_such(message: dict[str, Any]) -> None:
    with pytest.raises(reports.MALFORMED):
        reports.from_protocol(step_pb2.StepKey(), message)


def test_any_text_of_an_error_can_be_sent() -> None:
    text = "\ud800" * 10_000
    told = reports.from_error_event({"type": text, "message": text, "traceback": text}).error
    assert told.error_class == step_pb2.ERROR_CLASS_USER
    assert told.SerializeToString()
    assert told.message.startswith("\\ud800")


def test_directories_deeper_than_python_calls_are_measured_and_removed(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("top", dir_fd=root)
    place = os.open("top", os.O_RDONLY, dir_fd=root)
    os.close(root)
    for _ in range(2 * sys.getrecursionlimit()):
        os.mkdir("d", dir_fd=place)
        inner = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    assert space.used_bytes([tmp_path / "top"]) >= 0
    assert space._last_written(tmp_path / "top") > 0
    space.remove_tree(tmp_path / "top")
    assert not (tmp_path / "top").exists()
