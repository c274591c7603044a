"""Loads the engine of CEL, the Common Expression Language, for the packages that depend on it."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def load() -> Any:
    """Return the package `cel` without its command line.

    The package imports its command line, and with it a toolkit for terminals: half a second of CPU time for every coordinator,
    every command and every step whose workflow has an expression. None of them uses it.
    """
    sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
    return importlib.import_module("cel")
