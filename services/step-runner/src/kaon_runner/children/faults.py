"""Errors of engines."""

from __future__ import annotations


class PlatformFault(Exception):
    """A service of the platform does not work: the attempt fails with class PLATFORM and does not count against the step's."""

    platform_fault = True


class EngineError(Exception):
    """The engine refused or failed the step's own code or query; the text is the engine's."""

    # It is raised by Kaon, whose code tells the step's author nothing.
    without_traceback = True


class OutOfMemory(EngineError):
    """The engine killed the step's code for exceeding its memory."""
