"""Environments of steps: built once by uv from a requirements file of the code bundle, and cached by their inputs.

An environment lies on top of the runner's own. Its packages come first; `kaon.step` and the runner's other
packages are found behind them. Several runners may share the cache; a builder holds a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import structlog
from uv import find_uv_bin

from kaon_artifacts import ArtifactError
from kaon_artifacts.digesting import digest_of
from kaon_artifacts.durable import sync_and_move
from kaon_runner.errors import PlatformStepError, UserStepError

log = structlog.get_logger(__name__)
_BUILD_SECONDS = 900.0
# Lines that include another file of requirements.
_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]?\s*(\S+)", re.MULTILINE)
_WORD = re.compile(r"[^\s;,@=\"']+")
_COMMENT = re.compile(r"(?:^|\s)#.*", re.MULTILINE)
_SHORT = re.compile(r"^-[ef]")
_EXTRAS = re.compile(r"\[[^\]]*\]$")
# Messages of uv for errors outside the file.
_UNREACHABLE = (
    "error sending request",
    "dns error",
    "connection refused",
    "connection reset",
    "timed out",
)
_ASK = "import platform, sysconfig; print(platform.python_version(), sysconfig.get_path('purelib'), sep='\\n')"


def _nothing() -> None:
    """Tell nobody."""


class Environments:
    """Builds and caches environments. Thread-safe, also between processes.

    Args:
        cache: The directory of environments.
        python: The interpreter of the underlying environment.
    """

    def __init__(self, cache: Path, *, python: str) -> None:
        self._root = cache / "environments"
        self._python = python
        self._base: tuple[str, str] | None = None
        self._running: set[subprocess.Popen[str]] = set()

    def python_of(self, requirements: Path, building: Callable[[], object] = _nothing) -> str:
        """Return the interpreter of the file's environment; build it when it is missing, which may take minutes.

        Args:
            requirements: The file.
            building: Called before it is built, or while another process builds it.

        Raises:
            UserStepError: The environment cannot be built from this file; the message is uv's.
            PlatformStepError: The environment cannot be built on this machine, whatever the file.
        """
        version, packages = self._base_of()
        target = self._root / _digest(requirements, version, packages)
        try:
            if not target.exists():
                building()
                self._root.mkdir(parents=True, exist_ok=True)
                with _locked(target.with_suffix(".lock")):
                    if not target.exists():
                        self._build(requirements, target, packages)
        except OSError as error:
            raise PlatformStepError(
                "Environment", f"no environment can be built in {self._root}: {error}"
            ) from error
        return str(target / "bin" / "python")

    def _base_of(self) -> tuple[str, str]:
        """Return the version of the interpreter and the place of its packages."""
        if self._base is None:
            told = subprocess.run(
                [self._python, "-c", _ASK], capture_output=True, text=True, check=False, timeout=60
            )
            if told.returncode:
                raise PlatformStepError(
                    "Environment", f"KAON_PYTHON={self._python} does not run: {told.stderr[-500:]}"
                )
            version, packages = told.stdout.splitlines()
            self._base = version, packages
        return self._base

    def _build(self, requirements: Path, target: Path, packages: str) -> None:
        """Build beside the target and move into place, so that no process sees half of it."""
        began = time.monotonic()
        holder = Path(tempfile.mkdtemp(prefix=".build-", dir=self._root))
        try:
            made = holder / "made"
            self._uv(requirements, "venv", "--relocatable", "--python", self._python, str(made))
            python = str(made / "bin" / "python")
            self._uv(
                requirements,
                "pip",
                "install",
                "--python",
                python,
                "--requirement",
                str(requirements),
            )
            for site in made.glob("lib/python*/site-packages"):
                (site / "kaon-runner.pth").write_text(
                    f"import site; site.addsitedir({packages!r})\n"
                )
            sync_and_move(made, target)
        finally:
            shutil.rmtree(holder, ignore_errors=True)
        log.info(
            "environment built",
            requirements=requirements.name,
            seconds=round(time.monotonic() - began, 1),
        )

    def _uv(self, requirements: Path, *arguments: str) -> None:
        argv = (find_uv_bin(), *arguments, "--quiet", "--no-config")
        env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"}
        with subprocess.Popen(
            argv,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=requirements.parent,
        ) as process:
            self._running.add(process)
            try:
                _, said = process.communicate(timeout=_BUILD_SECONDS)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise UserStepError(
                    "Environment",
                    f"the environment of {requirements.name} was not built within {_BUILD_SECONDS:.0f} s",
                ) from error
            finally:
                self._running.discard(process)
        if process.returncode == 0:
            return
        unreachable = any(sign in said.lower() for sign in _UNREACHABLE)
        # Killed: for lack of memory, or by `stop`.
        fault = PlatformStepError if unreachable or process.returncode < 0 else UserStepError
        message = f"uv cannot build the environment of {requirements.name}: {said.strip()[:3000]}"
        raise fault("Environment", message, said)

    def stop(self) -> None:
        """End running builds: the runner leaves."""
        for process in tuple(self._running):
            process.kill()


def _digest(requirements: Path, *base: str) -> str:
    """Return the name of an environment: the digest of its files and of the underlying environment."""
    hasher = hashlib.sha256()
    for text in (*base, *_texts(requirements, set())):
        hasher.update(text.encode() + b"\0")
    return hasher.hexdigest()


def _texts(requirements: Path, seen: set[Path]) -> list[str]:
    """Return the text of the file and of included ones, and the content of all local paths in them."""
    seen.add(requirements)
    text = requirements.read_text(encoding="utf-8")
    texts = [text]
    for name in _INCLUDE.findall(text):
        included = (requirements.parent / name).resolve()
        if included not in seen and included.is_file():
            texts += _texts(included, seen)
    for place in _local_paths(text, requirements.parent):
        if place not in seen:
            seen.add(place)
            texts.append(_content_of(place))
    return texts


def _local_paths(text: str, base: Path) -> list[Path]:
    """Return every word of the file that is an existing path: one too many is better than an outdated library."""
    found: list[Path] = []
    for word in _WORD.findall(_COMMENT.sub("", text)):
        name = _EXTRAS.sub("", unquote(_SHORT.sub("", word).removeprefix("file://")))
        place = (base / name).resolve()
        with contextlib.suppress(OSError, ValueError):
            # The directory around the file is not a library.
            if name and place.exists() and place not in base.parents:
                found.append(place)
    return found


def _content_of(place: Path) -> str:
    """Return the digest of a file, or of a directory as packed.

    Raises:
        UserStepError: It cannot be read.
    """
    try:
        return digest_of(place)
    except ArtifactError as error:
        raise UserStepError(
            "Environment", f"the requirements name {place.name}: {error}"
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock at `path`. The file stays: a waiting process must not lock another file of that name."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
