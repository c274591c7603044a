"""Where in the user's code something was written."""

from __future__ import annotations

import os.path
import sys
from dataclasses import dataclass
from pathlib import Path

_KAON = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Code that Python generates for dataclasses has this as its file.
_GENERATED = "<string>"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file and a line, shown as `file:line`, relative to the working directory where that is shorter."""

    file: str
    line: int

    @property
    def path(self) -> Path:
        """The file; meaningless for code that came from no file, such as a prompt."""
        return Path(self.file)

    def __str__(self) -> str:
        path = self.path
        if path.is_absolute() and path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        return f"{path}:{self.line}"


def caller() -> Source:
    """Return the innermost line of the running code that does not belong to Kaon."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_kaon(frame.f_code.co_filename):
        frame = frame.f_back
    return Source(file=frame.f_code.co_filename, line=frame.f_lineno)


def _is_kaon(file: str) -> bool:
    return file == _GENERATED or file.startswith(_KAON + "/")
