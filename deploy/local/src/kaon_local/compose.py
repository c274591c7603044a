"""docker-compose.yml from Python: its settings for this machine, and the compose program that there is."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from kaon_local.base_image import base_name
from kaon_local.errors import MissingTool
from kaon_local.fetch import movielens
from kaon_local.images import public_bases
from kaon_local.paths import ROOT

_PUBLIC_SERVING_BASE = "python:3.12-slim-bookworm"
_SOCKET = Path("/var/run/docker.sock")


def settings() -> dict[str, str]:
    """What docker-compose.yml must be told on this machine; passwords are new ones each time."""
    return {
        "KAON_POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        # The account of the object store; of another one, where artifacts are kept there.
        "AWS_ACCESS_KEY_ID": "kaon",
        "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(24),
        # The publisher in its container may use the engine's socket as a member of the socket's group.
        "KAON_DOCKER_GROUP": str(_SOCKET.stat().st_gid if _SOCKET.exists() else 0),
        "KAON_SERVING_BASE": _PUBLIC_SERVING_BASE if public_bases() else base_name(),
        # The directory with the main job's data set, as /data/ml-100k in the runners.
        "KAON_DATA": str(movielens().resolve().parent),
    }


def write_settings(path: Path) -> list[str]:
    """Adds the settings that the file lacks, and returns their names; what is there stays."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    known = {line.partition("=")[0].strip() for line in text.splitlines()}
    missing = {name: value for name, value in settings().items() if name not in known}
    if missing:
        lines = "".join(f"{name}={value}\n" for name, value in missing.items())
        # Not for others to read: it has passwords.
        path.touch(mode=0o600)
        path.write_text(
            text + ("\n" if text and not text.endswith("\n") else "") + lines, encoding="utf-8"
        )
    return list(missing)


def compose_command() -> list[str]:
    """The compose program: the one in this environment, or docker's plug-in.

    The environment's is called by its place: the script that its package installs, .venv/bin/docker-compose, hides exit codes.

    Raises:
        MissingTool: there is none.
    """
    package = find_spec("compose")
    if package is not None and package.origin is not None:
        return [str(Path(package.origin).with_name("docker-compose"))]
    if (
        shutil.which("docker")
        and not subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        return ["docker", "compose"]
    if found := shutil.which("docker-compose"):
        return [found]
    raise MissingTool("no compose program: `make setup` installs one into .venv/bin")


def compose(*words: str, env: Mapping[str, str] | None = None, check: bool = True) -> str:
    """Runs compose on this repository's file and returns its output.

    Raises:
        CalledProcessError: it failed; its own words were printed.
    """
    done = subprocess.run(
        [
            *compose_command(),
            "--project-directory",
            str(ROOT),
            "-f",
            str(ROOT / "docker-compose.yml"),
            *words,
        ],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        print(done.stdout[-2000:], done.stderr[-4000:], file=sys.stderr, flush=True)
        done.check_returncode()
    return done.stdout
