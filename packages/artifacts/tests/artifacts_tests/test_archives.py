"""What others may put into a directory or an archive, and what becomes of it."""

from __future__ import annotations

import io
import os
import socket
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kaon_artifacts import ArtifactError, Unreadable, opening
from kaon_artifacts.archive import Bounds, pack, unpack, unpack_zip


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (os.mkfifo, "named pipe"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "link"),
    "out": (lambda path: path.symlink_to("/etc/hostname"), "link"),
    "broken": (lambda path: path.symlink_to("nothing"), "link"),
    "circle": (lambda path: path.symlink_to(path.name), "link"),
    "socket": (_socket, "socket"),
    "sparse": (_sparse, "sparse"),
}
hostile = pytest.mark.parametrize(("make", "told"), HOSTILE.values(), ids=HOSTILE)


@hostile
def test_what_is_no_plain_file_is_not_opened(
    make: Callable[[Path], None], told: str, tmp_path: Path
) -> None:
    make(tmp_path / "x")
    with opening.directory(tmp_path) as place, pytest.raises(Unreadable, match=f"x is .*{told}"):
        opening.file("x", within=place)
    with pytest.raises(Unreadable):
        opening.read(tmp_path / "x", most=10)


@hostile
def test_a_directory_with_what_cannot_be_kept_is_refused_with_its_name(
    make: Callable[[Path], None], told: str, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    make(tmp_path / "deep" / "x")
    with pytest.raises(Unreadable, match=f"deep/x.*{told}"):
        pack(tmp_path, io.BytesIO())


def test_a_link_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(Unreadable, match="is a link"), opening.directory(tmp_path / "link"):
        pass


def test_more_than_the_bound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert opening.read(tmp_path / "x", most=5) == b"12345"
    with pytest.raises(Unreadable, match="more than 4 bytes"):
        opening.read(tmp_path / "x", most=4)
    for bounds in (Bounds(entries=0, bytes=9), Bounds(entries=9, bytes=4)):
        with pytest.raises(Unreadable, match="more than"):
            pack(tmp_path, io.BytesIO(), bounds)


def archive(*entries: tuple[str, bytes, str, int]) -> io.BytesIO:
    """A tar file of entries: name, type, where it links to, size."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, link, size in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, link, size
            tar.addfile(entry, io.BytesIO(b"x" * size) if size else None)
    buffer.seek(0)
    return buffer


REG, LNK, SYM = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE


@pytest.mark.parametrize(
    "entries",
    [
        [("../x", REG, "", 1)],
        [("/x", REG, "", 1)],
        [("x", SYM, "/etc/hostname", 0)],
        [("x", SYM, "../../outside", 0)],
        [("x", SYM, "nothing", 0)],
        [("x", LNK, "/etc/hostname", 0)],
        [("x", tarfile.FIFOTYPE, "", 0)],
        [("x", tarfile.CHRTYPE, "", 0)],
        [("x", tarfile.GNUTYPE_SPARSE, "", 0)],
        [("out", SYM, "..", 0), ("out/x", REG, "", 1)],
        [("out", SYM, "..", 0), ("out/x", SYM, "y", 0)],
        [("x", REG, "", 1), ("x/y", REG, "", 1)],
        [("a/" * 101 + "x", REG, "", 1)],
        [(f"x{number}", REG, "", 1) for number in range(6)],
        [("x", REG, "", 101)],
    ],
)
def test_a_hostile_tar_is_refused_and_writes_nothing_outside(
    entries: list[tuple[str, bytes, str, int]], tmp_path: Path
) -> None:
    (tmp_path / "outside").write_text("not ours")
    with pytest.raises(ArtifactError):
        unpack(archive(*entries), tmp_path / "in" / "d", Bounds(entries=5, bytes=100))
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "in"}
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["d"]


def test_a_description_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 4 << 30
    with pytest.raises(ArtifactError, match="description"):
        unpack(io.BytesIO(header.tobuf()), tmp_path / "d")


def zipped(path: Path, name: str, data: bytes, mode: int = 0o100644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
        archive.writestr(info, data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "mode", "told"),
    [
        ("../x", b"", 0o100644, "not a path"),
        ("/x", b"", 0o100644, "not a path"),
        ("x", b"/etc/hostname", stat.S_IFLNK | 0o777, "x is a link"),
        ("x", b"", stat.S_IFIFO | 0o600, "x is a named pipe"),
        ("x", b"\0" * (8 << 20), 0o100644, "200 times"),
    ],
)
def test_a_hostile_zip_is_refused(
    name: str, data: bytes, mode: int, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=told):
        unpack_zip(zipped(tmp_path / "z", name, data, mode), tmp_path / "d")
    assert not (tmp_path / "x").exists()


def test_an_executable_file_of_a_zip_stays_one(tmp_path: Path) -> None:
    unpack_zip(zipped(tmp_path / "z", "bin/load", b"#!/bin/sh\n", 0o100755), tmp_path / "d")
    assert os.access(tmp_path / "d" / "bin" / "load", os.X_OK)
