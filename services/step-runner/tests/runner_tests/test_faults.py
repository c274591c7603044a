"""What a step's author reads of an error that Kaon itself raises."""

from __future__ import annotations

import pytest

from kaon.step import call
from kaon_runner.children.faults import EngineError, PlatformFault


def raised(error: Exception) -> dict[str, object]:
    try:
        try:
            raise ValueError("what the client says")
        except ValueError as cause:
            raise error from cause
    except Exception as told:
        return call.failure(told)


def test_an_engines_error_has_its_text_and_no_lines_of_kaons_code() -> None:
    told = raised(EngineError("image a:1 cannot be pulled"))
    assert told["traceback"] == (
        "kaon_runner.children.faults.EngineError: image a:1 cannot be pulled\n"
    )
    assert told["user"] is True


@pytest.mark.parametrize("error", [RuntimeError("bad luck"), PlatformFault("no server answers")])
def test_other_errors_have_their_traceback_and_what_caused_them(error: Exception) -> None:
    text = str(raised(error)["traceback"])
    assert "ValueError: what the client says" in text
    assert __name__.rpartition(".")[2] in text
