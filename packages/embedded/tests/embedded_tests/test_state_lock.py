"""The lock of a state directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_embedded.state_lock import StateLock


def test_an_error_names_the_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("/dev/full")
    with pytest.raises(OSError, match="lock") as told:
        StateLock(tmp_path).acquire()
    assert told.value.filename == str(tmp_path / "lock")
