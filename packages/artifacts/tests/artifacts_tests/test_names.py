"""An artifact is called what its file or directory is called, and nothing else becomes a name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kaon_artifacts import Artifact, ArtifactError, ArtifactStore, Unreadable, checked_name
from kaon_artifacts.digesting import digest_of
from kaon_wire.errors import InvalidValue


@pytest.mark.parametrize("name", ["ratings.csv.gz", ".hidden", "a b\n", "...", "é" * 127 + "x", ""])
def test_what_a_file_system_takes_is_a_name(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a/b", "a slash"),
        ("/", "a slash"),
        ("a\0", "a zero byte"),
        (".", "stands for no file"),
        ("..", "stands for no file"),
        ("é" * 128, "it has 256 bytes, the limit is 255"),
        ("\udcff", "not UTF-8"),
        (None, "no text"),
        (["a"], "no text"),
    ],
)
def test_what_is_none_is_shown_with_the_reason(name: object, told: str) -> None:
    with pytest.raises(ArtifactError) as raised:
        checked_name(name)
    assert told in str(raised.value)
    assert ascii(name)[:70] in str(raised.value)
    with pytest.raises(InvalidValue, match="an artifact whose name"):
        Artifact.from_json({"uri": "x", "digest": "y", "name": name})


def test_a_file_and_a_directory_are_called_as_they_are_or_as_it_is_said(
    local_store: ArtifactStore, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "a.csv.gz").touch()
    for put, path in (
        (local_store.put_file, tmp_path / "a.csv.gz"),
        (local_store.put_directory, tmp_path / "d"),
    ):
        assert put(path).name == path.name
        assert put(path).to_json()["name"] == path.name
        assert put(path, name="other").name == "other"
        assert "name" not in put(path, name="").to_json()
        assert Artifact.from_json(put(path).to_json()) == put(path)
    (tmp_path / os.fsdecode(b"\xff")).touch()
    with pytest.raises(Unreadable, match=r"its name .* is none: it is not UTF-8"):
        local_store.put_file(tmp_path / os.fsdecode(b"\xff"))


def test_the_digest_of_what_is_fetched_is_that_of_the_artifact(
    local_store: ArtifactStore, tmp_path: Path
) -> None:
    source = tmp_path / "d"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "run.sh").write_text("x")
    (source / "deep" / "run.sh").chmod(0o700)
    (source / "link").symlink_to("deep")
    for artifact in (
        local_store.put_directory(source),
        local_store.put_file(source / "deep" / "run.sh"),
    ):
        copy = local_store.fetch(artifact, tmp_path / f"copy-of-{artifact.name}")
        assert digest_of(copy) == artifact.digest
