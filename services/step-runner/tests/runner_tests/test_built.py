"""What a runner builds for many steps is on the disk before it is known: half of it would fail them all after a loss of power."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kaon_artifacts import durable
from kaon_runner.children import scala
from kaon_runner.preparation.environments import Environments

# Stands for the compiler, which takes ten seconds: it writes what it is told to.
COMPILER = '#!/bin/sh\nwhile [ "$1" != -d ]; do shift; done\necho jar > "$2"\n'


def test_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    sync = durable.sync_filesystem

    def spy(path: Path | str) -> None:
        built = Path(path)
        sync(path)
        known = [
            each
            for each in built.parent.parent.iterdir()
            if not each.name.startswith(".") and each.is_dir()
        ]
        synced.append((built / "bin" / "python").exists() and not known)

    monkeypatch.setattr(durable, "sync_filesystem", spy)
    (tmp_path / "needs.txt").write_text("")
    environments = Environments(tmp_path / "cache", python=sys.executable)
    python = environments.python_of(tmp_path / "needs.txt")
    assert Path(python).exists()
    assert environments.python_of(tmp_path / "needs.txt") == python
    assert synced == [True]


def test_compiled_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("java", COMPILER), ("X.scala", "object X"), ("Kaon.scala", "object Kaon")):
        (tmp_path / name).write_text(text)
    (tmp_path / "java").chmod(0o755)
    synced: list[str] = []
    sync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    cache, java = tmp_path / "cache", str(tmp_path / "java")
    jar = scala.compiled(tmp_path / "X.scala", tmp_path / "Kaon.scala", cache, tmp_path, java)
    assert jar.read_text() == "jar\n"
    assert synced == ["out.jar", "cache"]
