"""Building something once for all processes of this machine: under a file lock, in a scratch directory, moved into place whole."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kaon_local.errors import FetchFailed, MissingTool
from kaon_local.paths import DEPLOY, cache


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """`target`, made by `build(scratch)` if it does not exist yet; a failed build leaves nothing."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f".{target.name}.lock")):
        if not target.exists():
            _build(target, build)
    return target


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, between processes as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def jars(name: str) -> Path:
    """The directory with the jars that `deploy/local/<name>/pom.xml` asks for, fetched by Maven if needed."""
    pom = DEPLOY / name / "pom.xml"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    return build_once(
        cache() / "jars" / f"{name}-{digest}", lambda scratch: _copy_dependencies(pom, scratch)
    )


def movielens() -> Path:
    """The directory with MovieLens 100k (`ml-100k.inter`, `.user`, `.item`), taken from a package that carries it.

    The data's terms allow use, not redistribution: it is fetched on each machine and never committed.
    """
    return build_once(cache() / "data" / "ml-100k", _unpack_movielens)


def object_store() -> Path:
    """The directory with `versitygw`, an S3 server, built from Go modules that deploy/local/object-store pins with their hashes."""
    module = DEPLOY / "object-store"
    pinned = (module / "go.mod").read_bytes() + (module / "go.sum").read_bytes()
    digest = hashlib.sha256(pinned).hexdigest()[:12]
    return build_once(
        cache() / "programs" / f"object-store-{digest}", lambda scratch: _build_go(module, scratch)
    )


def run(
    argv: list[str], *, what: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Run a tool to its end; FetchFailed with the end of its output if it fails, MissingTool if it is not there."""
    try:
        environment = {**os.environ, **(env or {})}
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise MissingTool(
            f"{argv[0]} is needed for {what}; `make system` installs or lists what this machine lacks"
        ) from error
    if done.returncode != 0:
        raise FetchFailed(
            f"{what} failed (exit code {done.returncode} of {argv[0]}):\n{(done.stdout + done.stderr)[-3000:]}"
        )


def _build(target: Path, build: Callable[[Path], None]) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        result = scratch / "result"
        result.mkdir()
        build(result)
        result.rename(target)
    finally:
        shutil.rmtree(scratch)


def _copy_dependencies(pom: Path, scratch: Path) -> None:
    run(
        [
            *("mvn", "--batch-mode", "--quiet", "--file", str(pom)),
            "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={scratch}",
        ],
        what=f"fetching the jars of {pom.parent.name}",
    )


_OBJECT_STORE = "github.com/versity/versitygw/cmd/versitygw"
# What its go.mod asks for.
_GO_NEEDED = (1, 25)


def _build_go(module: Path, scratch: Path) -> None:
    with tempfile.TemporaryDirectory() as unpacked:
        go = _go() or _go_of_package(module, Path(unpacked))
        # Without symbols: a third of the size. Linked statically, for it runs in images that are not Debian's as well.
        words = [
            "build",
            "-mod=readonly",
            "-trimpath",
            "-ldflags=-s -w",
            f"-o={scratch}/",
            _OBJECT_STORE,
        ]
        run(
            [str(go), *words],
            what="building the object store",
            env={"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
            cwd=module,
        )


def _go() -> Path | None:
    """The machine's own compiler, if it is new enough."""
    found = shutil.which("go")
    if found is None:
        return None
    told = subprocess.run(
        [found, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=os.environ
    ).stdout
    version = tuple(
        int(part) for part in told.strip().removeprefix("go").split(".")[:2] if part.isdigit()
    )
    return Path(found) if version >= _GO_NEEDED else None


def _go_of_package(module: Path, unpacked: Path) -> Path:
    """The compiler that a Python package carries."""
    _install(module / "requirements.txt", unpacked, what="fetching a Go compiler")
    # Its bin/go is a script that wants the package installed.
    found = unpacked / "go" / "bin" / "go"
    if not found.exists():
        raise FetchFailed("the package with the Go compiler has no go/bin/go")
    return found


def _install(requirements: Path, target: Path, *, what: str) -> None:
    """Python packages with their hashes, and nothing that they ask for, into a directory."""
    options = ["--quiet", "--no-deps", "--require-hashes", "--python", sys.executable]
    run(
        [
            _uv(),
            "pip",
            "install",
            *options,
            "--target",
            str(target),
            "--requirement",
            str(requirements),
        ],
        what=what,
    )


_MOVIELENS_FILES = "recbole/dataset_example/ml-100k"
_MOVIELENS_RATINGS = 100_000


def _unpack_movielens(scratch: Path) -> None:
    with tempfile.TemporaryDirectory() as unpacked:
        _install(
            DEPLOY / "movielens" / "requirements.txt",
            Path(unpacked),
            what="fetching MovieLens 100k",
        )
        for kind in ("inter", "user", "item"):
            shutil.copy(Path(unpacked) / _MOVIELENS_FILES / f"ml-100k.{kind}", scratch)
    with (scratch / "ml-100k.inter").open(encoding="utf-8") as ratings:
        found = sum(1 for _ in ratings) - 1
    if found != _MOVIELENS_RATINGS:
        raise FetchFailed(
            f"the package has {found} ratings, not the {_MOVIELENS_RATINGS} of MovieLens 100k"
        )


def _uv() -> str:
    ours = cache() / "bin" / "uv"
    return str(ours) if ours.exists() else "uv"
