"""Builds the images of docker-compose.yml, on public bases or, where no registry of images is reached, on bases made here."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import docker

from kaon_local.base_image import ensure_base
from kaon_local.errors import FetchFailed, MissingTool
from kaon_local.fetch import jars, object_store
from kaon_local.paths import ROOT

SERVICES = (
    *("coordinator", "model-publisher", "console", "consumer", "hdfs", "sql-server"),
    *("step-runner-base", "step-runner-spark", "step-runner-r", "step-runner-full"),
)
SERVERS = ("kafka", "postgres", "registry", "gateway", "object-store")
_RECIPES = ROOT / "deploy" / "images"
# Jars and programs that images are built with; the only thing outside of the repository that a build sees.
_CONTEXT = ROOT / ".kaon" / "images"
_PUBLIC_REGISTRY = "https://registry-1.docker.io/v2/"
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# The last client that brings BuildKit along; later ones need the plug-in buildx.
_LAST_WITH_BUILDKIT = 22


@dataclass(frozen=True, kw_only=True)
class Built:
    """One image."""

    name: str
    size_bytes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Build:
    """What one call of `docker build` is told beside the target."""

    recipe: str
    context: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()


def build_all(
    client: docker.DockerClient, *, tag: str, only: Sequence[str] = ()
) -> Iterator[Built]:
    """Builds the images and yields each when it is there.

    Args:
        client: the engine that builds.
        tag: of the images `kaon/<name>:<tag>`.
        only: names; empty means all.

    Raises:
        FetchFailed: a build failed; the message has its end.
        MissingTool: no docker client with BuildKit.
    """
    wanted = [name for name in (*SERVERS, *SERVICES) if not only or name in only]
    for name in ("kafka", "hdfs"):
        _stage(jars(name), _CONTEXT / name)
    public = public_bases()
    if "object-store" in wanted and not public:
        _stage(object_store(), _CONTEXT / "object-store")
    python = {} if public else {"PYTHON_BASE": ensure_base(client)}
    marks = {"VERSION": tag, "REVISION": _revision()}
    services = Build(
        recipe="Dockerfile", context=ROOT, arguments=python | marks, secrets=_secrets()
    )
    for name in wanted:
        began = time.monotonic()
        if name in SERVICES:
            build = services
        else:
            bases = {} if public else {base_argument(name): _local_base(name, python)}
            build = Build(
                recipe="servers.Dockerfile", context=_RECIPES, arguments=bases | {"VERSION": tag}
            )
        image = f"kaon/{name}:{tag}"
        _build(build, name, image)
        size = int(client.images.get(image).attrs["Size"])
        yield Built(name=image, size_bytes=size, seconds=time.monotonic() - began)


def base_argument(server: str) -> str:
    """The build argument that names the image on which a server's stands."""
    return f"{server.upper().replace('-', '_')}_BASE"


def public_bases() -> bool:
    """Whether bases come from the public registry: as KAON_BASES (public or local) says, else if it is reached."""
    told = os.environ.get("KAON_BASES", "")
    if told:
        return told == "public"
    try:
        with urllib.request.urlopen(_PUBLIC_REGISTRY, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        # It answers, and wants a token.
        return error.code == 401
    except OSError:
        return False


def docker_client() -> str:
    """The docker program that builds with BuildKit.

    Raises:
        MissingTool: there is none.
    """
    for found in filter(None, (shutil.which("docker"), "/usr/bin/docker")):
        if Path(found).exists() and _has_buildkit(found):
            return found
    raise MissingTool(
        "no docker client with BuildKit: install Debian's docker.io, or the plug-in buildx (docker buildx version)"
    )


def _has_buildkit(program: str) -> bool:
    if (
        subprocess.run([program, "buildx", "version"], capture_output=True, check=False).returncode
        == 0
    ):
        return True
    told = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout
    version = told.removeprefix("Docker version ").partition(".")[0]
    return version.isdigit() and int(version) <= _LAST_WITH_BUILDKIT


def _local_base(name: str, python: Mapping[str, str]) -> str:
    image = f"kaon/base-{name}:local"
    _build(Build(recipe="local.Dockerfile", context=_CONTEXT, arguments=python), name, image)
    return image


def _build(build: Build, target: str, image: str) -> None:
    words = ["--file", str(_RECIPES / build.recipe), "--target", target, "--tag", image]
    for name, value in build.arguments.items():
        words += ["--build-arg", f"{name}={value}"]
    for secret in build.secrets:
        words += ["--secret", secret]
    done = subprocess.run(
        [docker_client(), "build", "--progress=plain", *words, str(build.context)],
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FetchFailed(f"{image} could not be built:\n{(done.stdout + done.stderr)[-4000:]}")


def _secrets() -> list[str]:
    bundle = Path(os.environ.get("SSL_CERT_FILE") or _CA_BUNDLE)
    found = [f"id=ca,src={bundle}"] if bundle.is_file() else []
    pip = os.environ.get("PIP_CONFIG_FILE", "")
    return [*found, f"id=pip,src={pip}"] if pip and Path(pip).is_file() else found


def _stage(source: Path, target: Path) -> None:
    names = {path.name for path in source.iterdir()}
    if target.is_dir() and {path.name for path in target.iterdir()} == names:
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def _revision() -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
