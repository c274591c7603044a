from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaon_publisher.checking import exported_layers
from kaon_publisher.errors import EngineUnavailable, ModelRejected
from kaon_publisher.images import Base, assemble, blob_of, write_docker_archive, write_layout
from kaon_publisher.model import difference, read_probe

from .models import write_model

FILES = st.dictionaries(
    st.text("abcxyz", min_size=1, max_size=4), st.binary(max_size=100), min_size=1, max_size=4
)


def image_of(directory: Path, app: bytes = b"app"):  # type: ignore[no-untyped-def]
    base, scratch = Base(layers=[blob_of(b"base")]), Path(tempfile.mkdtemp(dir=directory.parent))
    return assemble(model=directory, app=app, base=base, labels={"a": "b"}, scratch=scratch)


def write(directory: Path, files: dict[str, bytes], *, time: int, backwards: bool) -> Path:
    directory.mkdir(exist_ok=True)
    for name in sorted(files, reverse=backwards):
        (directory / name).write_bytes(files[name])
        os.utime(directory / name, (time, time))
    return directory


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(files=FILES)
def test_the_same_files_give_the_same_digest_whatever_their_times_and_order(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    place = tmp_path_factory.mktemp("model")
    one = image_of(write(place / "one", files, time=1, backwards=False))
    two = image_of(write(place / "two", files, time=2_000_000_000, backwards=True))
    assert one.digest == two.digest


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(files=FILES, extra=st.binary(min_size=1, max_size=5))
def test_another_byte_gives_another_digest(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], extra: bytes
) -> None:
    place = tmp_path_factory.mktemp("model")
    name = min(files)
    one = image_of(write(place / "one", files, time=1, backwards=False))
    two = image_of(
        write(place / "two", files | {name: files[name] + extra}, time=1, backwards=False)
    )
    assert one.digest != two.digest


def test_a_layout_holds_every_blob_under_its_digest(tmp_path: Path) -> None:
    image = image_of(write_model(tmp_path / "model"))
    write_layout(image, tmp_path / "layout")
    write_layout(image, tmp_path / "layout")
    index = json.loads((tmp_path / "layout" / "index.json").read_bytes())
    assert index["manifests"][0]["digest"] == image.digest
    for path in (tmp_path / "layout" / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    config = json.loads(image.config.read())
    assert config["rootfs"]["diff_ids"] == [layer.digest for layer in image.layers]


def test_the_archive_for_an_engine_leaves_out_the_bases_layers(tmp_path: Path) -> None:
    image = image_of(write_model(tmp_path / "model"))
    archive = io.BytesIO()
    write_docker_archive(image, "x:y", archive)
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        names = tar.getnames()
    assert [name for name in names if name.endswith("/layer.tar")] == [
        f"{image.layers[-1].digest.removeprefix('sha256:')}/layer.tar"
    ]


def test_a_model_is_never_held_in_memory(tmp_path: Path) -> None:
    size = 64 << 20
    directory = write_model(tmp_path / "model")
    (directory / "weights").write_bytes(bytes(size))
    tracemalloc.start()
    try:
        image = image_of(directory)
        write_layout(image, tmp_path / "layout")
        with (tmp_path / "archive").open("wb") as archive:
            write_docker_archive(image, "x:y", archive)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.layers[-1].size > size
    assert peak < size / 4


def test_a_layout_is_on_the_disk_before_it_is_known_and_what_is_cut_short_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, layout = image_of(write_model(tmp_path / "model")), tmp_path / "deep" / "layout"
    synced: list[str] = []
    sync, rename = os.fsync, os.rename

    def spy(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def move(source: Path, target: Path) -> None:
        assert synced[-1] == str(source)
        assert target.name != "index.json" or len(os.listdir(layout / "blobs" / "sha256")) == len(
            image.blobs
        )
        rename(source, target)

    monkeypatch.setattr(os, "fsync", spy)
    monkeypatch.setattr(os, "rename", move)
    write_layout(image, layout)
    made = (layout / "blobs" / "sha256", layout / "blobs", layout, layout.parent, tmp_path)
    assert {str(place) for place in made} <= set(synced)
    blob = layout / "blobs" / "sha256" / image.layers[-1].digest.removeprefix("sha256:")
    whole = blob.read_bytes()
    blob.write_bytes(whole[:5])
    write_layout(image, layout)
    assert blob.read_bytes() == whole


@pytest.mark.parametrize(
    ("expected", "found", "text"),
    [
        ({"a": 1}, {"a": 1.0 + 1e-9}, ""),
        ({"a": 1}, {"a": 1.1}, "answer.a is 1.1, expected 1 within 1e-06"),
        ({"a": [1, 2]}, {"a": [1]}, "answer.a has 1 entries, expected 2"),
        ({"a": [{"t": "x"}]}, {"a": [{"t": "y"}]}, "answer.a[0].t is 'y', expected 'x'"),
        ({"a": 1}, {"b": 1}, "answer has ['b'], expected ['a']"),
        ({"a": True}, {"a": 1.5}, "answer.a is 1.5, expected True"),
    ],
)
def test_differences_are_told_with_their_place(expected: object, found: object, text: str) -> None:
    assert difference(expected, found, 1e-6) == text


def test_what_is_no_model_is_rejected_in_words(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match="has no kaon-model"):
        read_probe(tmp_path)
    with pytest.raises(ModelRejected, match="format 7"):
        read_probe(write_model(tmp_path / "a", format=7))
    with pytest.raises(ModelRejected, match="has no other"):
        read_probe(write_model(tmp_path / "b", entry="other:Model"))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "kaon-model.json").write_text("{")
    with pytest.raises(ModelRejected, match="not of the form"):
        read_probe(tmp_path / "c")


def test_a_link_inside_of_a_model_stays_one_in_its_image(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "checkpoint-100").mkdir(parents=True)
    (model / "latest").symlink_to("checkpoint-100")
    with image_of(model).layers[-1].open() as content, tarfile.open(fileobj=content) as layer:
        entry = layer.getmember("kaon/model/latest")
    assert entry.issym()
    assert entry.linkname == "checkpoint-100"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", '{"entry": "a", "probe": []}', " " * (17 << 20)]
)
def test_what_a_model_says_of_itself_is_the_users_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "kaon-model.json").write_text(text)
    with pytest.raises(ModelRejected, match=r"not of the form|more than 16777216 bytes"):
        read_probe(tmp_path)


def test_a_model_that_describes_itself_by_a_pipe_or_a_link_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kaon-model.json")
    with pytest.raises(ModelRejected, match="a named pipe, not a file"):
        read_probe(tmp_path)
    (tmp_path / "kaon-model.json").unlink()
    (tmp_path / "kaon-model.json").symlink_to("/dev/zero")
    with pytest.raises(ModelRejected, match="a link, not a file"):
        read_probe(tmp_path)


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (b"[" * 100_000, "RecursionError"),
        (b"{}", "cannot be read"),
        (b'[{"Layers": "abc"}]', "no list of at most"),
        (b'[{"Layers": ["absent"]}]', "lacks absent"),
        (b'[{"Layers": ["pipe"]}]', "not a file"),
        (b'[{"Layers": [{}]}]', "not a file"),
        (b" " * (2 << 20), "more than 1048576 bytes"),
    ],
)
def test_an_export_that_is_no_image_is_refused_in_words(manifest: bytes, told: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        pipe = tarfile.TarInfo("pipe")
        pipe.type = tarfile.FIFOTYPE
        tar.addfile(pipe)
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(manifest)
        tar.addfile(entry, io.BytesIO(manifest))
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as tar, pytest.raises(EngineUnavailable, match=told):
        list(exported_layers(tar))
