"""The base of every image that we build: a small Debian with Python, made here where no registry of images can be reached."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from kaon_local.errors import MissingTool
from kaon_local.fetch import build_once, run
from kaon_local.paths import cache

REPOSITORY = "kaon/base-python"
_SUITE = "bookworm"
_PACKAGES = ("python3", "ca-certificates")
# Documentation and translations: half of the size, of no use in a container.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
_EPOCH = "1700000000"


def root_file_system() -> Path:
    """A tar file with the base's root file system, made by mmdebstrap (as root, 30 s) if it does not exist yet.

    Packages come from where this machine's own come from.
    """
    return build_once(cache() / "images" / f"base-python-{_key()}", _bootstrap) / "rootfs.tar"


def ensure_base(client: docker.DockerClient) -> str:
    """The base image's name in this engine.

    KAON_BASE_IMAGE names another one, which is pulled if the engine does not have it, for machines that reach a registry of images.
    """
    name = base_name()
    try:
        client.images.get(name)
    except ImageNotFound:
        if name.startswith(REPOSITORY + ":"):
            _import(client, name)
        else:
            client.images.pull(name)
    return name


def base_name() -> str:
    """What the base image is called, whether it exists yet or not."""
    return os.environ.get("KAON_BASE_IMAGE") or f"{REPOSITORY}:{_key()}"


def _key() -> str:
    recipe = f"{_SUITE} {_PACKAGES} {_LEFT_OUT} {_EPOCH}"
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _import(client: docker.DockerClient, name: str) -> None:
    repository, tag = name.rsplit(":", 1)
    with root_file_system().open("rb") as tar:
        client.api.import_image_from_data(
            iter(lambda: tar.read(1 << 20), b""), repository=repository, tag=tag
        )


def _bootstrap(scratch: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise MissingTool(
            "mmdebstrap is needed to make a base image; or name one to pull in KAON_BASE_IMAGE"
        )
    exclude = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    run(
        [
            *(
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                f"--include={','.join(_PACKAGES)}",
                *exclude,
            ),
            *(
                '--customize-hook=rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*',
                _SUITE,
                str(scratch / "rootfs.tar"),
            ),
            *_sources(),
        ],
        what="making a base image",
        env={"SOURCE_DATE_EPOCH": _EPOCH},
    )


def _sources() -> Iterator[str]:
    """The lines and files from which this machine's own Debian packages come."""
    listed = (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*")))
    for path in listed:
        if path.suffix in {".list", ".sources"} and path.is_file() and _SUITE in path.read_text():
            yield str(path)
