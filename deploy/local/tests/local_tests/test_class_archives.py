"""Archives of classes: whole or not at all, and for one place only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kaon_local.class_archives import class_archives, recording, unused, using
from kaon_local.errors import FetchFailed


@pytest.fixture
def libs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a jar; archives are made for this test alone."""
    monkeypatch.setenv("KAON_CACHE", str(tmp_path / "cache"))
    return with_jar(tmp_path / "libs", "some-1.0.jar")


def with_jar(libs: Path, name: str) -> Path:
    libs.mkdir(exist_ok=True)
    (libs / name).touch()
    return libs


def written(option: str) -> Path:
    return Path(option.partition("=")[2])


def record(scratch: Path) -> None:
    written(recording(scratch, "first")).touch()


def test_what_is_recorded_is_what_is_used_and_is_recorded_once(libs: Path) -> None:
    found = class_archives("some", libs, ("first",), record)
    assert written(using(found, "first")).exists()

    def again(scratch: Path) -> None:
        raise AssertionError(scratch)

    assert class_archives("some", libs, ("first",), again) == found


def test_a_server_that_ends_without_its_archive_is_named_and_nothing_is_kept(libs: Path) -> None:
    with pytest.raises(FetchFailed, match="some ended without the archive of its classes: second"):
        class_archives("some", libs, ("first", "second"), record)
    assert class_archives("some", libs, ("first",), record).exists()


def test_other_jars_and_the_same_jars_elsewhere_have_archives_of_their_own(
    libs: Path, tmp_path: Path
) -> None:
    first = class_archives("some", libs, ("first",), record)
    moved = with_jar(tmp_path / "moved", "some-1.0.jar")
    elsewhere = class_archives("some", moved, ("first",), record)
    newer = class_archives("some", with_jar(libs, "some-1.1.jar"), ("first",), record)
    assert len({first, elsewhere, newer}) == 3


def test_jars_that_were_installed_anew_have_another_archive(libs: Path) -> None:
    first = class_archives("some", libs, ("first",), record)
    os.utime(libs / "some-1.0.jar", ns=(1, 1))
    assert class_archives("some", libs, ("first",), record) != first


def test_a_jvm_that_has_not_taken_its_archive_is_told_of(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text("7f0 r-xp /usr/lib/libjvm.so\n")
    option = using(tmp_path / "classes", "server")
    assert f"has not taken the archive of its classes {written(option)}" in unused(
        ("java", option), maps
    )
    assert unused(("java", "-Xmx1g"), maps) == "", "one that was given none lacks none"
    maps.write_text(f"7f0 r--p {written(option)}\n")
    assert unused(("java", option), maps) == ""
