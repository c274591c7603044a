"""What others have written does not control the terminal of who reads it."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

from kaon.cli import commands, formatting, output
from kaon.cli.main import execute
from kaon.cli.screen import Screen, shown
from kaonapi.log.v1 import log_pb2

# Sets the clipboard, clears the screen, turns the direction of writing, overwrites a line, and hides itself.
HOSTILE = "a\x1b]52;c;ZXZpbA==\x07b\x1b[2Jc\u202etxt.exe\u2066d\x9b31me\x00f\u200bg"


def test_a_time_stands_with_its_zone_or_in_a_column_whose_heading_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert formatting.moment(Timestamp(seconds=1_764_500_000)) == "2025-11-30 11:53:20 CET"
        assert formatting.moment(Timestamp(seconds=1_751_000_000)) == "2025-06-27 06:53:20 CEST"
        assert formatting.moment(Timestamp()) == ""
    finally:
        monkeypatch.undo()
        time.tzset()
    for file in Path(commands.__file__).parent.glob("*.py"):
        text = file.read_text()
        assert text.count("moment_in_column(") == text.count("({formatting.zone()})"), file.name


def printed(renderable: object, *, terminal: bool) -> str:
    out = io.StringIO()
    screen = Screen(
        file=out,
        force_terminal=terminal,
        width=200,
        color_system="truecolor" if terminal else None,
        highlight=False,
    )
    screen.print(renderable)
    return out.getvalue()


def controls(text: str) -> set[str]:
    """Return the characters that must not be in a printed text, but for rich's own colours."""
    return {each for each in text if each in "\x00\x07\x9b\u202e\u2066\u200b"} | (
        {"\x1b"} if "\x1b]" in text or "\x1b[2J" in text else set()
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_texts_show_control_characters_as_escapes(terminal: bool) -> None:
    for renderable in (Text(HOSTILE, style="bold"), HOSTILE):
        told = printed(renderable, terminal=terminal)
        assert controls(told) == set()
        assert "\\u202etxt.exe" in told
        assert "\\x1b]52;c;" in told


def test_tables_do_so_and_cut_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(Text(HOSTILE, style="red"), HOSTILE, "x")]
    output.print_table(("A", "B", "C"), rows, nothing="")
    told = capsys.readouterr().out
    assert controls(told) == set()
    assert told.count("\\u200bg") == 2


def test_a_printed_line_keeps_its_colours_and_nothing_else() -> None:
    line = log_pb2.LogLine(text=f"\x1b[31mred\x1b[0m {HOSTILE}", stream=log_pb2.STREAM_STDOUT)
    told = printed(formatting.log_line("train", line), terminal=True)
    assert controls(told) == set()
    assert "\x1b[31mred" in told


def test_errors_show_them_as_escapes_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["validate", "\x1b[2J\u202e.py"]) != 0
    assert controls(capsys.readouterr().err) == set()


def test_other_languages_stay_as_they_are() -> None:
    for text in ("für äöü", "データ", "שלום", "a\tb\nc", "🙂"):
        assert shown(text) == text


def test_a_line_that_is_shown_in_part_says_so() -> None:
    long = log_pb2.LogLine(sequence=7, text="é" * 10, size_bytes=1_000_000)
    told = formatting.log_line("train", long).plain
    assert told.endswith("é [line 7 has 1000000 bytes, of which 20 are shown: --whole prints all]")
    rest = formatting.log_line("train", log_pb2.LogLine(sequence=8, text="half", continues=True))
    assert rest.plain.endswith("train > half")
    whole = formatting.log_line("train", log_pb2.LogLine(sequence=9, text="line"))
    assert whole.plain.endswith("train | line")
