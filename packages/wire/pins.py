"""Builds every wheel of this repository so that it asks for the others in its own version.

They change together: a client with a newer contract than its `kaon-wire` would fail at its first import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement

_OURS = "kaon"


class Pins(BuildHookInterface[Any]):
    """Adds to each requirement of a package of ours that it has this version."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to what the wheel says."""
        core = self.metadata.core
        build_data["dependencies"] += pins(
            {"": core.dependencies, **core.optional_dependencies}, self.metadata.version
        )


def pins(requirements: Mapping[str, list[str]], version: str) -> list[str]:
    """Return the requirements that fix the version.

    Args:
        requirements: by extra; "" has those without one.
        version: of all packages.
    """
    return [
        f"{name}=={version}" + (f' ; extra == "{extra}"' if extra else "")
        for extra, texts in requirements.items()
        for name in sorted({*_ours(texts)})
    ]


def _ours(texts: list[str]) -> Iterator[str]:
    for text in texts:
        name = Requirement(text).name
        if name == _OURS or name.startswith(f"{_OURS}-"):
            yield name
