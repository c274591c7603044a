"""Errors of engines."""

from __future__ import annotations


class PlatformFault(Exception):
    """What the platform provides does not work: the attempt fails with class PLATFORM and uses up none of the step's."""

    platform_fault = True


class EngineError(Exception):
    """The engine refused or failed the step's own code or query, in the engine's words."""


class OutOfMemory(EngineError):
    """The engine has killed the step's code for using more memory than it may."""
