"""Standard input, output and errors, when who started the command has closed them, or does not read them any more."""

from __future__ import annotations

import os
import sys
from typing import TextIO

_STANDARD = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_streams() -> None:
    """Open those that are closed on the null device.

    The next file or connection would get the number of a closed one, and hear what is meant for people.
    """
    for number, (name, mode) in enumerate(_STANDARD):
        try:
            os.fstat(number)
        except OSError:
            # The least number that is free: this one, as those before it are open.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def silence(stream: TextIO) -> None:
    """Send what is written from now on, and what waits to be written, to the null device: nobody reads it any more."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    finally:
        os.close(null)
