"""Local copies of artifacts: they have the artifact's name, stay as they were, and go when nobody needs them."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaon_artifacts import Artifact, ArtifactStore
from kaon_runner.artifacts import copies
from kaon_runner.artifacts.gateway import ArtifactGateway
from kaon_runner.children.container_view import ContainerView
from kaon_runner.disk.step_directory import StepDirectory
from kaon_runner.errors import UserStepError
from kaon_runner.outputs import collecting
from kaon_runner.settings import Settings
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2

HOSTILE_NAMES = [
    "../x",
    "/etc/passwd",
    "a/b",
    ".",
    "..",
    "a\0b",
    "\ud800",
    "é" * 128,
    7,
    None,
    ["x"],
    {},
]
LONGEST = "é" * 127 + "."
DATASET = definition_pb2.VALUE_TYPE_DATASET


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(artifacts=(tmp_path / "store").as_uri(), work=tmp_path / "work")


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    return ArtifactStore(settings.artifacts)


@pytest.fixture
def gateway(settings: Settings) -> ArtifactGateway:
    return ArtifactGateway(settings)


@pytest.fixture
def file(store: ArtifactStore, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(b"a,b"))
    return store.put_file(tmp_path / "ratings.csv.gz", "dataset").to_json()


@pytest.fixture
def tree(store: ArtifactStore, tmp_path: Path) -> dict[str, Any]:
    parts = tmp_path / "parts"
    (parts / "deep").mkdir(parents=True)
    (parts / "deep" / "one.csv").write_text("a,b")
    (parts / "latest").symlink_to("deep")
    return store.put_directory(parts, "dataset").to_json()


def fetched(gateway: ArtifactGateway, reference: dict[str, Any]) -> Path:
    path = gateway.fetch(reference)
    assert path is not None
    return path


def test_a_copy_has_the_name_of_the_file_or_directory(
    gateway: ArtifactGateway, file: dict[str, Any], tree: dict[str, Any]
) -> None:
    copy = fetched(gateway, file)
    assert copy.name == file["name"] == "ratings.csv.gz"
    assert gzip.decompress(copy.read_bytes()) == b"a,b"
    copy = fetched(gateway, tree)
    assert copy.name == tree["name"] == "parts"
    assert (copy / "latest" / "one.csv").read_text() == "a,b"
    assert not copy.is_symlink(), "`cp -r` and `find` would see a link"


def test_a_reference_without_a_name_is_fetched_as_ever(
    gateway: ArtifactGateway, file: dict[str, Any]
) -> None:
    del file["name"]
    assert fetched(gateway, file).name == file["digest"].replace(":", "-")
    assert fetched(gateway, {**file, "name": ""}) == fetched(gateway, file)


@pytest.mark.parametrize("name", ["file", "tree"])
def test_two_names_for_one_content_lie_side_by_side_and_take_its_room_once(
    gateway: ArtifactGateway, store: ArtifactStore, request: pytest.FixtureRequest, name: str
) -> None:
    reference = request.getfixturevalue(name)
    first = fetched(gateway, reference)
    # Nobody has to fetch it again.
    store.delete(Artifact.from_json(reference))
    second = fetched(gateway, {**reference, "name": LONGEST})
    assert (first.name, second.name) == (reference["name"], LONGEST)
    inside = "deep/one.csv" if first.is_dir() else ""
    assert (first / inside).samefile(second / inside)
    assert fetched(gateway, reference) == first


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("digest", ["", "kept"])
def test_what_is_no_name_is_the_users_error_and_is_shown(
    gateway: ArtifactGateway, file: dict[str, Any], name: object, digest: str
) -> None:
    with pytest.raises(UserStepError, match="whose name") as raised:
        gateway.fetch({**file, "name": name, "digest": digest and file["digest"]})
    assert raised.value.kind == "InvalidArtifact"
    assert ascii(name)[:70] in str(raised.value)


def _append(copy: Path) -> None:
    with copy.open("ab") as content:
        content.write(b"x")


def _change(copy: Path) -> None:
    size = copy.stat().st_size
    copy.write_bytes(b"x" * size)


def _replace(copy: Path) -> None:
    copy.unlink()
    copy.mkdir()


def _link(copy: Path) -> None:
    copy.unlink()
    copy.symlink_to("/etc/hostname")


@pytest.mark.parametrize("damage", [_append, _change, _replace, _link, Path.unlink])
def test_a_copy_that_a_step_has_changed_is_fetched_anew(
    gateway: ArtifactGateway, file: dict[str, Any], damage: Callable[[Path], None]
) -> None:
    copy = fetched(gateway, file)
    whole = copy.read_bytes()
    damage(copy)
    assert fetched(gateway, file) == copy
    assert copy.read_bytes() == whole
    assert len(list(copy.parent.parent.iterdir())) == 1, "nothing is left of the damaged one"


DAMAGE: dict[str, Callable[[Path], object]] = {
    "changed": lambda copy: _change(copy / "deep" / "one.csv"),
    "added": lambda copy: (copy / "deep" / "two.csv").touch(),
    "removed": lambda copy: (copy / "deep" / "one.csv").unlink(),
    "renamed": lambda copy: (copy / "deep").rename(copy / "shallow"),
    "relinked": lambda copy: ((copy / "latest").unlink(), (copy / "latest").symlink_to("/etc")),
    "a file": lambda copy: (
        (copy / "latest").unlink(),
        copy.rename(copy.with_name("x")),
        copy.touch(),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_directory_that_a_step_has_changed_is_fetched_anew(
    gateway: ArtifactGateway, tree: dict[str, Any], damage: str
) -> None:
    copy = fetched(gateway, tree)
    DAMAGE[damage](copy)
    assert fetched(gateway, tree) == copy
    assert sorted(os.listdir(copy)) == ["deep", "latest"]
    assert os.readlink(copy / "latest") == "deep"
    assert [path.read_text() for path in (copy / "deep").iterdir()] == ["a,b"]


def test_a_directory_that_was_not_changed_is_not_fetched_again(
    gateway: ArtifactGateway, store: ArtifactStore, tree: dict[str, Any]
) -> None:
    copy = fetched(gateway, tree)
    store.delete(Artifact.from_json(tree))
    assert fetched(gateway, tree) == copy


def test_what_a_step_puts_beside_its_input_is_taken_for_no_copy(
    gateway: ArtifactGateway, file: dict[str, Any]
) -> None:
    copy = fetched(gateway, file)
    whole, status = copy.read_bytes(), copy.stat()
    index = copy.with_name("an index")
    index.write_text("of the step's own")
    os.utime(index, ns=(status.st_mtime_ns, status.st_mtime_ns))
    copy.unlink()
    assert fetched(gateway, {**file, "name": "other"}).read_bytes() == whole


def aged(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (time.time() - 1000 * 86_400,) * 2)


def test_what_nobody_uses_leaves_the_cache_under_all_its_names(
    gateway: ArtifactGateway, settings: Settings, file: dict[str, Any], tree: dict[str, Any]
) -> None:
    old = [fetched(gateway, file), fetched(gateway, {**file, "name": "other"})]
    used = fetched(gateway, tree)
    cache = settings.cache_directory
    # Of a runner that died, and of an earlier version.
    left = [cache / "copies" / ".fetch-x", cache / "artifacts" / "x", cache / "directories" / "x"]
    for path in left:
        path.mkdir(parents=True)
    aged(old[0].parent, used.parent, *left)
    copies.tidy(cache, settings.cache_seconds, [used, cache / "copies" / "gone" / "x"])
    assert [path.exists() for path in (*old, *left)] == [False] * 5
    assert (used / "deep" / "one.csv").exists(), "a step reads it"
    assert fetched(gateway, file) == old[0]


def test_one_that_is_fetched_while_the_cache_is_tidied_stays(
    gateway: ArtifactGateway,
    settings: Settings,
    file: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = fetched(gateway, file)
    aged(copy.parent)
    rename = Path.rename

    def between(source: Path, target: Path) -> Path:
        moved = rename(source, target)
        if source == copy.parent:
            monkeypatch.undo()
            fetched(gateway, file)
            os.utime(target)  # somebody who had found it just before
        return moved

    monkeypatch.setattr(Path, "rename", between)
    copies.tidy(settings.cache_directory, settings.cache_seconds, [])
    assert copy.exists()
    assert os.listdir(copy.parent.parent) == [copy.parent.name]


def test_a_container_sees_the_name_of_the_file() -> None:
    def reference(name: str) -> dict[str, Any]:
        return {
            "artifact": {"uri": "x", "path": f"/cache/1/{name}"} | ({"name": name} if name else {})
        }

    view = ContainerView()
    found = view.translate(
        {
            "paths": {},
            "inputs": {
                "one": reference("a.csv.gz"),
                "many": [reference("b.csv")],
                "old": reference(""),
            },
        }
    )
    seen = ["/kaon/inputs/one/a.csv.gz", "/kaon/inputs/many/0/b.csv", "/kaon/inputs/old"]
    assert [target for _, target in view.mounts] == seen
    told = (found["inputs"]["one"], found["inputs"]["many"][0], found["inputs"]["old"])
    assert [each["artifact"]["path"] for each in told] == seen


# --- what outputs are called ------------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> StepDirectory:
    made = StepDirectory(place=str(tmp_path / "step"))
    made.create()
    return made


def collected(
    directory: StepDirectory, gateway: ArtifactGateway, returned: dict[str, Any] | None = None
) -> dict[str, Any]:
    spec = step_pb2.StepSpec(outputs={"data": DATASET})
    kept = collecting.collect(spec, directory, gateway, returned or {}, frozenset)
    reference: dict[str, Any] = json.loads(kept["data"])["artifact"]
    return reference


@pytest.mark.parametrize(
    ("entry", "link", "name"),
    [
        ("data", None, "data"),
        ("data.csv.gz", None, "data.csv.gz"),
        ("data", "ratings.csv.gz", "ratings.csv.gz"),
        ("data.gz", "ratings.csv.gz", "data.gz"),
        ("data", "latest", "latest"),
        ("data", "deep/..", "work"),
    ],
)
def test_an_output_is_called_as_the_step_has_written_it(
    directory: StepDirectory, gateway: ArtifactGateway, entry: str, link: str | None, name: str
) -> None:
    (directory.work / "deep").mkdir()
    (directory.work / "ratings.csv.gz").touch()
    (directory.work / "latest").symlink_to("ratings.csv.gz")
    path = directory.artifacts / entry
    if link is None:
        path.touch()
    else:
        path.symlink_to(Path(os.path.relpath(directory.work, directory.artifacts)) / link)
    assert collected(directory, gateway)["name"] == name
    assert collected(directory, gateway, {"data": {"path": str(path)}})["name"] == name


def test_a_returned_link_is_called_as_the_link(
    directory: StepDirectory, gateway: ArtifactGateway
) -> None:
    (directory.work / "4f5e").write_text("x")
    (directory.work / "model.bin").symlink_to("4f5e")
    found = collected(directory, gateway, {"data": {"path": str(directory.work / "model.bin")}})
    assert (found["name"], found["size"]) == ("model.bin", 1)


def test_two_files_for_one_output_are_refused(
    directory: StepDirectory, gateway: ArtifactGateway
) -> None:
    for name in ("data", "data.csv"):
        (directory.artifacts / name).touch()
    with pytest.raises(
        UserStepError, match=r"artifacts/data and artifacts/data\.csv for output data"
    ):
        collected(directory, gateway)


def test_a_file_whose_name_is_no_text_is_the_users_error(
    directory: StepDirectory, gateway: ArtifactGateway
) -> None:
    path = os.fsencode(directory.artifacts) + b"/data.\xff"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    with pytest.raises(
        UserStepError, match=r"output data is an artifact whose name .* it is not UTF-8"
    ):
        collected(directory, gateway)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("told", ["uri", "path"])
def test_what_is_no_name_cannot_be_an_outputs(
    directory: StepDirectory, gateway: ArtifactGateway, name: object, told: str
) -> None:
    with pytest.raises(UserStepError, match="output data is an artifact whose name") as raised:
        collected(directory, gateway, {"data": {told: "/etc/hostname", "name": name}})
    assert raised.value.kind == "OutputMismatch"
