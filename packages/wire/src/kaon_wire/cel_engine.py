"""Loads the engine for CEL, the Common Expression Language, for those that depend on its package."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def load() -> Any:
    """The package `cel` without its command line.

    The package imports its command line with itself, and that a toolkit for terminals: half a second of the processor for every
    coordinator, every command and every step whose workflow has an expression. None of them uses it.
    """
    sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
    return importlib.import_module("cel")
