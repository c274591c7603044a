"""Kaon: workflows whose steps run in different engines.

Every word of `kaon.dsl` is here, too. They are loaded on first use, so that a step that imports `kaon.step` does not pay for the
workflow language.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaon.dsl import *  # noqa: F403

# What Python asks for before it imports it is no word, and no reason to load the language.
_PACKAGES = frozenset({"cli", "client", "dsl", "helpers", "step", "testing"})


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return import_module("kaon.dsl").__all__
    if not name.startswith("_") and name not in _PACKAGES:
        language = import_module("kaon.dsl")
        if name in language.__all__:
            return getattr(language, name)
    raise AttributeError(f"module 'kaon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("kaon.dsl").__all__})
