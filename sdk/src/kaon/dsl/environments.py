"""What Python environments give, and a code bundle need not hold."""

from __future__ import annotations

import json
import os
import sysconfig
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

_INSTALLED = frozenset({"site-packages", "dist-packages"})


def is_environment(directory: Path) -> bool:
    """Whether a directory is a virtual environment, or one of conda's."""
    return (directory / "pyvenv.cfg").exists() or (directory / "conda-meta").is_dir()


def holds(root: Path, path: Path) -> bool:
    """Whether a path under `root` lies in an environment that is there, too."""
    around = [parent for parent in path.parents if parent.is_relative_to(root)]
    return any(parent.name in _INSTALLED or is_environment(parent) for parent in around)


def gives(file: Path) -> bool:
    """Whether a module comes from an environment: from Python itself, an installed package or a directory of PYTHONPATH.

    It must be in the environment of the runners, too.
    """
    return any(
        parent.name in _INSTALLED or is_environment(parent) for parent in file.parents
    ) or any(file.is_relative_to(place) for place in _places())


@lru_cache(maxsize=1)
def _places() -> tuple[Path, ...]:
    """Directories of what is installed, besides those that show it by their name."""
    python = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    named = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return tuple(Path(path).resolve() for path in (*python, *named, *_editable()))


def _editable() -> list[str]:
    """Where the sources of packages are that were installed in editable form."""
    texts = (each.read_text("direct_url.json") for each in metadata.distributions())
    told = (json.loads(text) for text in texts if text)
    urls = (urlsplit(each["url"]) for each in told if each.get("dir_info", {}).get("editable"))
    return [unquote(url.path) for url in urls if url.scheme == "file"]
