"""Archives of the classes that a JVM has loaded: with its own, a server starts in half the processor time."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kaon_local.errors import FetchFailed, MissingTool
from kaon_local.fetch import build_once
from kaon_local.paths import cache
from kaon_local.process import Command

# How long a server that records may take to start, and then to end: it writes its archive at its end, which costs the processor
# several times as much as its start. Whoever kills it earlier gets no archive.
RECORD_SECONDS = 600.0
_SUFFIX = ".jsa"
_READ = "-XX:SharedArchiveFile="


def class_archives(
    name: str, libs: Path, servers: Sequence[str], record: Callable[[Path], None]
) -> Path:
    """Return the directory in which each server has its archive; made once.

    Args:
        name: What the directory is called after.
        libs: The directory with the servers' jars.
        servers: The names of the servers that record.
        record: Runs the servers for a moment, with `recording`, and leaves nothing but archives in the directory that it gets.

    Raises:
        FetchFailed: A server has ended without its archive.
    """

    def build(scratch: Path) -> None:
        record(scratch)
        missing = [server for server in servers if not (scratch / f"{server}{_SUFFIX}").exists()]
        if missing:
            raise FetchFailed(
                f"{name} ended without the archive of its classes: {', '.join(missing)}"
            )

    return build_once(cache() / "jars" / f"{name}-{_key(libs)}-classes", build)


def using(archives: Path, server: str) -> str:
    """Return the JVM's option that reads a server's archive."""
    return f"{_READ}{archives / server}{_SUFFIX}"


def recording(archives: Path, server: str) -> str:
    """Return the JVM's option that writes a server's archive when it ends."""
    return f"-XX:ArchiveClassesAtExit={archives / server}{_SUFFIX}"


def unused(argv: Sequence[str], maps: Path) -> str:
    """Return what a JVM that cannot use its archive does in its place, and what that costs; empty when it has loaded it.

    Args:
        argv: How the JVM was started.
        maps: The kernel's list of what its process has loaded.
    """
    wanted = [each.removeprefix(_READ) for each in argv if each.startswith(_READ)]
    if not wanted or wanted[0] in maps.read_text():
        return ""
    return (
        f"its JVM has not taken the archive of its classes {wanted[0]}: it reads each from its jar, which makes the start take "
        "about twice as long (delete the archive's directory, and the next start makes it anew)"
    )


def patient(command: Command) -> Command:
    """Return the command of a server that records: nobody kills it while it writes."""
    return replace(command, stop_seconds=RECORD_SECONDS)


def _key(libs: Path) -> str:
    """An archive holds for these jars at this place, of these sizes and times, and for this JVM; others do not take it."""
    java = shutil.which("java")
    if java is None:
        raise MissingTool(
            "java is not installed; `make system` installs or lists what this machine lacks"
        )
    program = Path(java).resolve()
    jars = sorted(
        (each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in libs.glob("*.jar")
    )
    told = f"{libs} {jars} {program} {program.stat().st_mtime_ns}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]
