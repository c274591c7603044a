"""What is moved into place is on the disk by then."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from kaon_artifacts import durable


class Log:
    """What is brought to the disk, and what is moved, in this order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[tuple[str, str]] = []
        sync, rename, sync_all = os.fsync, os.rename, durable.sync_filesystem

        def synced(descriptor: int) -> None:
            self.lines.append(
                ("sync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
            )
            sync(descriptor)

        def renamed(source: Path, target: Path) -> None:
            self.lines.append(("move", target.name))
            rename(source, target)

        def synced_all(path: Path | str) -> None:
            self.lines.append(("sync all", os.path.basename(path)))
            sync_all(path)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "rename", renamed)
        monkeypatch.setattr(durable, "sync_filesystem", synced_all)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(monkeypatch)


def test_what_another_program_has_written_is_brought_to_the_disk_first(
    tmp_path: Path, log: Log
) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "x").write_text("x")
    durable.sync_and_move(tmp_path / "made", tmp_path / "target")
    durable.sync_and_move(tmp_path / "target" / "x", tmp_path / "file")
    assert log.lines == [
        ("sync all", "made"),
        ("move", "target"),
        ("sync", tmp_path.name),
        ("sync", "x"),
        ("move", "file"),
        ("sync", tmp_path.name),
    ]
    assert (tmp_path / "file").read_text() == "x"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, log: Log) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("the disk fails")

    (tmp_path / "x").write_text("old")
    with pytest.raises(OSError, match="the disk fails"):
        durable.write(Breaking(), tmp_path / "x")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("x", "old")]
    durable.write(io.BytesIO(b"new"), tmp_path / "x")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("x", "new")]
    assert [kind for kind, _ in log.lines] == ["sync", "move", "sync"]


def test_a_directory_is_made_with_those_above_it(tmp_path: Path, log: Log) -> None:
    durable.make_directory(tmp_path / "a" / "b")
    durable.make_directory(tmp_path / "a" / "b")
    assert log.lines == [("sync", tmp_path.name), ("sync", "a")]
    with pytest.raises(FileNotFoundError):
        durable.sync_filesystem(tmp_path / "absent")
