from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaon_artifacts import (
    Artifact,
    ArtifactError,
    ArtifactMissing,
    ArtifactStore,
    DigestMismatch,
    StoreUnavailable,
)
from kaon_wire.errors import InvalidValue


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore((tmp_path / "store").as_uri())


def test_a_file_comes_back_as_it_was(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "data.csv"
    source.write_bytes(b"a,b\n1,2\n")
    artifact = store.put_file(source, "dataset")
    assert artifact.size == 8
    assert store.fetch(artifact, tmp_path / "copy").read_bytes() == source.read_bytes()


def test_the_same_content_has_one_address(store: ArtifactStore) -> None:
    assert store.put_bytes(b"x") == store.put_bytes(b"x")


def test_a_directory_comes_back_with_its_executable_files(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (source / "deep" / "run.sh").chmod(0o700)
    (source / "weights").write_bytes(b"\0\1")
    copy = store.fetch(store.put_directory(source, "model"), tmp_path / "copy")
    assert (copy / "weights").read_bytes() == b"\0\1"
    assert (copy / "deep" / "er").is_dir()
    assert os.access(copy / "deep" / "run.sh", os.X_OK)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    files=st.dictionaries(
        st.text("abcxyz", min_size=1, max_size=4), st.binary(max_size=200), min_size=1, max_size=5
    ),
    times=st.tuples(st.integers(0, 2**31), st.integers(0, 2**31)),
)
def test_a_directorys_digest_depends_on_its_content_alone(
    store: ArtifactStore, tmp_path: Path, files: dict[str, bytes], times: tuple[int, int]
) -> None:
    digests = set()
    for number, time in enumerate(times):
        directory = tmp_path / f"{abs(hash((frozenset(files.items()), times)))}-{number}"
        directory.mkdir(exist_ok=True)
        for name in sorted(files, reverse=bool(number)):
            (directory / name).write_bytes(files[name])
            os.utime(directory / name, (time, time))
        digests.add(store.put_directory(directory).digest)
    assert len(digests) == 1


def test_damaged_content_is_refused_and_both_digests_are_named(store: ArtifactStore, tmp_path: Path) -> None:
    artifact = store.put_bytes(b"good")
    Path(artifact.uri.removeprefix("file://")).write_bytes(b"bad")
    with pytest.raises(DigestMismatch, match=artifact.digest):
        store.fetch(artifact, tmp_path / "copy")
    assert list(tmp_path.glob("*copy*")) == []


def test_a_missing_artifact_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    absent = store.by_digest("sha256:" + "0" * 64)
    assert not store.exists(absent)
    with pytest.raises(ArtifactMissing, match="0000"):
        store.fetch(absent, tmp_path / "copy")


def test_what_was_deleted_is_gone_and_may_be_deleted_again(store: ArtifactStore) -> None:
    artifact = store.put_bytes(b"x")
    store.delete(artifact)
    store.delete(artifact)
    assert not store.exists(artifact)


def test_a_link_out_of_a_directory_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to("/etc/passwd")
    with pytest.raises(ArtifactError, match="leads out"):
        store.put_directory(tmp_path / "d")


def test_an_artifact_of_another_store_is_refused(store: ArtifactStore) -> None:
    foreign = Artifact(uri="file:///elsewhere/sha256/00/00", digest="sha256:" + "0" * 64)
    with pytest.raises(ArtifactError, match="not in the store"):
        store.open(foreign)


@pytest.mark.parametrize("place", ["store2/x", "store/../secret"])
def test_what_lies_beside_a_store_is_not_in_it(store: ArtifactStore, tmp_path: Path, place: str) -> None:
    (tmp_path / "store2").mkdir()
    for name in ("store2/x", "secret"):
        (tmp_path / name).write_text("not ours")
    outside = Artifact(uri=f"{tmp_path.as_uri()}/{place}", digest="sha256:" + "0" * 64)
    for call in (store.open, store.exists, store.delete):
        with pytest.raises(ArtifactError, match="not in the store"):
            call(outside)


def test_a_link_to_a_directory_is_refused_and_not_kept_empty(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "d" / "real").mkdir(parents=True)
    (tmp_path / "d" / "link").symlink_to("real")
    with pytest.raises(ArtifactError, match="link is a link to a directory"):
        store.put_directory(tmp_path / "d")


def test_a_rename_that_is_refused_in_silence_is_an_error_and_leaves_nothing(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._fs, "mv", lambda *_: None)
    with pytest.raises(StoreUnavailable, match="could not be renamed"):
        store.put_bytes(b"x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_unknown_kind_of_url_is_refused() -> None:
    with pytest.raises(InvalidValue, match="ftp"):
        ArtifactStore("ftp://host/dir")


def test_json_and_back(store: ArtifactStore) -> None:
    artifact = store.put_bytes(b"x", "model")
    assert Artifact.from_json(artifact.to_json()) == artifact
    with pytest.raises(InvalidValue, match="digest"):
        Artifact.from_json({"uri": "file:///x"})
