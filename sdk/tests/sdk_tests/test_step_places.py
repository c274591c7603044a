"""The directories of the steps of a warm worker: untouched ones are moved on, all others are the runner's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaon.step.place import Places


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    places = Places()
    yield places
    places.close()


def entered(places: Places, step: Path) -> int:
    """Enter a step's directory, and tell which it is."""
    places.enter(str(step / "work"))
    assert Path.cwd() == step / "work"
    assert os.listdir() == []
    return step.stat().st_ino


def test_an_untouched_directory_is_kept_and_moved_on(places: Places, tmp_path: Path) -> None:
    first = entered(places, tmp_path / "1")
    assert places.leave(keep=True)
    assert Path.cwd() == tmp_path / "home"
    assert entered(places, tmp_path / "2") == first
    assert not (tmp_path / "1").exists()
    assert places.leave(keep=True)
    places.close()
    assert os.listdir(tmp_path) == ["home"]


@pytest.mark.parametrize(
    "touch",
    [
        lambda step: (step / "work" / "file").write_text("x"),
        lambda step: (step / "outputs").mkdir(),
        lambda step: (step / "work").chmod(0o500),
        lambda step: [(step / "work" / "file").touch(), (step / "work" / "file").unlink()],
    ],
)
def test_a_touched_directory_is_not_moved_on(
    places: Places, tmp_path: Path, touch: Callable[[Path], object]
) -> None:
    entered(places, tmp_path / "1")
    touch(tmp_path / "1")
    left = sorted((tmp_path / "1").rglob("*"))
    assert not places.leave(keep=True)
    # What is in it is the runner's; what is empty goes at once.
    written = [each for each in left if each.name != "work"]
    assert all(each.exists() for each in written)
    assert (tmp_path / "1").exists() == bool(written)
    entered(places, tmp_path / "2")


def test_a_directory_that_the_runner_may_look_at_is_not_kept(
    places: Places, tmp_path: Path
) -> None:
    entered(places, tmp_path / "1")
    assert not places.leave(keep=False)
    assert not (tmp_path / "1").exists()


def test_a_directory_that_was_there_before_is_the_runners(places: Places, tmp_path: Path) -> None:
    entered(places, tmp_path / "1")
    assert places.leave(keep=True)
    (tmp_path / "2" / "outputs").mkdir(parents=True)
    entered(places, tmp_path / "2")
    assert not (tmp_path / "1").exists()
    assert not places.leave(keep=True)
    assert (tmp_path / "2" / "outputs").exists()


def test_a_kept_directory_that_somebody_removes_is_made_anew(
    places: Places, tmp_path: Path
) -> None:
    entered(places, tmp_path / "1")
    assert places.leave(keep=True)
    (tmp_path / "1" / "work").rmdir()
    (tmp_path / "1").rmdir()
    entered(places, tmp_path / "2")
    assert places.leave(keep=True)
