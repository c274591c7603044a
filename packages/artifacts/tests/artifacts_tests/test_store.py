from __future__ import annotations

import hashlib
import io
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from s3fs import S3FileSystem

from kaon_artifacts import (
    Artifact,
    ArtifactError,
    ArtifactMissing,
    ArtifactStore,
    ArtifactSuspect,
    DigestMismatch,
    StoreUnavailable,
)
from kaon_local.hdfs import Hdfs
from kaon_local.object_store import ObjectStore
from kaon_local.ports import free_port
from kaon_wire.errors import InvalidValue


def test_a_file_comes_back_as_it_was(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "data.csv"
    source.write_bytes(b"a,b\n1,2\n")
    artifact = store.put_file(source, "dataset")
    assert artifact.size == 8
    assert store.fetch(artifact, tmp_path / "copy").read_bytes() == source.read_bytes()


def test_the_same_content_has_one_address(store: ArtifactStore) -> None:
    assert store.put_bytes(b"x") == store.put_bytes(b"x")


def test_a_directory_comes_back_with_its_executable_files(
    store: ArtifactStore, tmp_path: Path
) -> None:
    source = tmp_path / "model"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (source / "deep" / "run.sh").chmod(0o700)
    (source / "weights").write_bytes(b"\0\1")
    copy = store.fetch(store.put_directory(source, "model"), tmp_path / "copy")
    assert (copy / "weights").read_bytes() == b"\0\1"
    assert (copy / "deep" / "er").is_dir()
    assert os.access(copy / "deep" / "run.sh", os.X_OK)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
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


def damage(store: ArtifactStore, artifact: Artifact, data: bytes) -> None:
    path = store._path(artifact.digest)
    store._fs.rm_file(path)
    with store._fs.open(path, "wb") as target:
        target.write(data)


def test_damaged_content_is_refused_and_both_digests_are_named(
    store: ArtifactStore, tmp_path: Path
) -> None:
    artifact = store.put_bytes(b"good")
    damage(store, artifact, b"bad")
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
def test_what_lies_beside_a_store_is_not_in_it(
    local_store: ArtifactStore, tmp_path: Path, place: str
) -> None:
    (tmp_path / "store2").mkdir()
    for name in ("store2/x", "secret"):
        (tmp_path / name).write_text("not ours")
    outside = Artifact(uri=f"{tmp_path.as_uri()}/{place}", digest="sha256:" + "0" * 64)
    for call in (local_store.open, local_store.exists, local_store.delete):
        with pytest.raises(ArtifactError, match="not in the store"):
            call(outside)


def test_links_that_stay_inside_are_kept_as_links(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "d"
    (source / "checkpoint-100").mkdir(parents=True)
    (source / "checkpoint-100" / "w").write_bytes(b"w")
    (source / "latest").symlink_to("checkpoint-100")
    (source / "absolute").symlink_to(source / "checkpoint-100" / "w")
    (source / "chain").symlink_to("latest/../latest/w")
    copy = store.fetch(store.put_directory(source, "model"), tmp_path / "copy")
    assert os.readlink(copy / "latest") == "checkpoint-100"
    assert os.readlink(copy / "absolute") == "checkpoint-100/w"
    assert [(copy / name).read_bytes() for name in ("latest/w", "absolute", "chain")] == [b"w"] * 3


def test_a_rename_that_is_refused_in_silence_is_an_error_and_leaves_nothing(
    local_store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_store._fs, "mv", lambda *_: None)
    with pytest.raises(StoreUnavailable, match="could not be renamed"):
        local_store.put_bytes(b"x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_larger_than_one_request_comes_back_whole(
    store: ArtifactStore, tmp_path: Path
) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1 << 20) * 20)
    artifact = store.put_file(source)
    assert store.fetch(artifact, tmp_path / "copy").read_bytes() == source.read_bytes()


class Breaking(io.BytesIO):
    """Content whose disk fails after ten megabytes, when it is read the second time."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if self.reads > 40 and self.tell() > 10 << 20:
            raise OSError("the disk fails")
        self.reads += 1
        return super().read(size)


def test_half_of_what_could_not_be_read_is_never_seen(store: ArtifactStore) -> None:
    with pytest.raises(StoreUnavailable, match="the disk fails"):
        store._put(Breaking(b"0" * (40 << 20)), "file", "application/octet-stream")
    assert [path for path in store._fs.find(store._root) if store._fs.isfile(path)] == []


def test_many_writers_of_the_same_content_agree(store: ArtifactStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(store.put_bytes, [b"the same"] * 16))) == 1
    with store.open(store.put_bytes(b"the same")) as content:
        assert content.read() == b"the same"


@pytest.mark.real
def test_an_object_store_that_is_away_or_refuses_is_told(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in object_store.endpoints().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreUnavailable):
        ArtifactStore("s3://no-such-bucket/x").put_bytes(b"x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreUnavailable):
        ArtifactStore(f"{object_store.uri}/x").put_bytes(b"x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreUnavailable):
        ArtifactStore(f"{object_store.uri}/x").put_bytes(b"x")
    S3FileSystem.clear_instance_cache()


@pytest.mark.real
@pytest.mark.parametrize(
    ("refuses", "reason"),
    [("/webhdfs/v1/", "Failed to find datanode"), ("op=CREATE", "could only be written to 0 of")],
    ids=["namenode", "datanode"],
)
def test_hdfs_that_lacks_room_for_a_block_says_so(
    hdfs: Hdfs, monkeypatch: pytest.MonkeyPatch, refuses: str, reason: str
) -> None:
    for name, value in hdfs.endpoints().items():
        monkeypatch.setenv(name, value)
    store = ArtifactStore(f"{hdfs.uri}/{uuid.uuid4().hex}")
    send = store._fs.session.request

    def with_large_blocks(method: str, url: str, **options: Any) -> Any:
        if method == "PUT" and refuses in url:
            joint = "&" if "?" in url else "?"
            url = f"{url}{joint}blocksize={1 << 47}"
        return send(method, url, **options)

    monkeypatch.setattr(store._fs.session, "request", with_large_blocks)
    with pytest.raises(StoreUnavailable, match=reason):
        store.put_bytes(b"x")


def test_an_unknown_kind_of_url_is_refused() -> None:
    with pytest.raises(InvalidValue, match="ftp"):
        ArtifactStore("ftp://host/dir")


def test_json_and_back(store: ArtifactStore) -> None:
    artifact = store.put_bytes(b"x", "model")
    assert Artifact.from_json(artifact.to_json()) == artifact
    with pytest.raises(InvalidValue, match="digest"):
        Artifact.from_json({"uri": "file:///x"})
    for digest in (["d"], {}, 7, None):
        with pytest.raises(InvalidValue, match="is not a digest"):
            Artifact.from_json({"uri": "file:///x", "digest": digest})


def test_a_truncated_artifact_is_written_anew(store: ArtifactStore, tmp_path: Path) -> None:
    artifact = store.put_bytes(b"all of it")
    damage(store, artifact, b"all")
    assert store.put_bytes(b"all of it") == artifact
    assert store.fetch(artifact, tmp_path / "copy").read_bytes() == b"all of it"


def test_an_artifact_that_a_reader_has_found_damaged_is_written_anew(
    store: ArtifactStore, tmp_path: Path
) -> None:
    artifact = store.put_bytes(b"good")
    damage(store, artifact, b"evil")
    assert store.put_bytes(b"good") == artifact, "nobody has read it"
    with pytest.raises(DigestMismatch):
        store.fetch(artifact, tmp_path / "copy")
    with pytest.raises(ArtifactSuspect, match="was found damaged"):
        store.renew(artifact)
    # What is needed stays needed, and what only a faulty reader has found damaged is still there.
    store.pin(artifact)
    assert store.exists(artifact)
    assert store.put_bytes(b"good") == artifact
    store.renew(artifact)
    assert store.fetch(artifact, tmp_path / "copy").read_bytes() == b"good"
    assert [path for path in store._fs.find(store._root) if "suspects" in path] == []


def test_damage_in_a_store_that_cannot_be_written_is_told_all_the_same(
    local_store: ArtifactStore, tmp_path: Path
) -> None:
    artifact = local_store.put_bytes(b"good")
    damage(local_store, artifact, b"evil")
    Path(local_store.root, "suspects").write_text("in the way")
    with pytest.raises(DigestMismatch):
        local_store.fetch(artifact, tmp_path / "copy")


def test_content_is_on_the_disk_before_its_name_is_known(
    local_store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, bool]] = []
    sync = os.fsync

    def spy(descriptor: int) -> None:
        told.append((os.readlink(f"/proc/self/fd/{descriptor}"), local_store.exists(artifact)))
        sync(descriptor)

    artifact = local_store.by_digest(f"sha256:{hashlib.sha256(b'x').hexdigest()}")
    monkeypatch.setattr(os, "fsync", spy)
    local_store.put_bytes(b"x")
    directory = os.path.dirname(local_store._path(artifact.digest))
    assert told[0][0].startswith(f"{directory}/.")
    assert [known for _, known in told] == [False, True, True, True]
    assert told[1][0] == directory


def test_content_that_changes_while_it_is_stored_is_refused(local_store: ArtifactStore) -> None:
    class Growing(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            super().seek(0, io.SEEK_END)
            self.write(b"more")
            return super().seek(offset, whence)

    with pytest.raises(ArtifactError, match="changed while it was stored"):
        local_store._put(Growing(b"some"), "file", "application/octet-stream")
    assert list(local_store._fs.find(local_store._root)) == []


@pytest.mark.parametrize(
    "digest",
    [
        "/etc/passwd",
        "sha256:../x",
        "sha256:" + "A" * 64,
        "sha256:" + "0" * 63 + "/",
        "sha256:" + "0" * 64 + "\n",
    ],
)
def test_nothing_but_a_digest_becomes_a_path(local_store: ArtifactStore, digest: str) -> None:
    with pytest.raises(ArtifactError, match="is not a digest"):
        local_store.by_digest(digest)
