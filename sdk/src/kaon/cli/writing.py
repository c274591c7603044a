"""Writes what commands download."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kaon_wire.errors import KaonError


def write_pieces(pieces: Iterator[bytes], to: Path | None) -> None:
    """Write the pieces to standard output, or to a file that appears when it is complete.

    Raises:
        KaonError: the file cannot be written.
    """
    if to is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    try:
        if to.exists() and not to.is_file():  # a device or a pipe
            with to.open("wb") as target:
                target.writelines(pieces)
            return
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as directory:
            partial = Path(directory) / "content"
            with partial.open("wb") as target:
                target.writelines(pieces)
            partial.replace(to)
    except OSError as error:
        raise KaonError(f"cannot write {to}: {error}") from error
