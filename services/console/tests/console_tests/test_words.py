"""One word for one action: the page names each command as the command line does."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command

from kaon.cli.main import app
from kaon_local.paths import ROOT

SOURCES = ROOT / "services" / "console" / "web" / "src"
# By method: how what sends it begins, and the command of the command line. A skip is a cancel that lets the rest go on.
WORDS: dict[str, dict[str, str]] = {
    "CancelRun": {"Cancel": "cancel", "Skip": "mark"},
    "PauseRun": {"Pause": "pause"},
    "ResumeRun": {"Resume": "resume"},
    "RetryRun": {"Retry": "retry"},
    "RestartRun": {"Restart": "restart"},
    "RerunRun": {"Rerun": "rerun"},
    "ForkRun": {"Fork": "fork"},
    "SetRunPriority": {"Priority": "priority"},
    "SetBreakpoint": {"Break": "break"},
    "PassBreakpoint": {"Continue": "continue"},
    "AnswerGate": {"Approve": "approve", "Reject": "reject"},
    "SignalRun": {"Send the signal": "signal"},
    # A page of its own: the form, whose button submits.
    "SubmitRun": {"Launch": "submit"},
    "RecordDatasetUpdate": {"Record": "datasets"},
}
_LISTED = re.compile(r'label: "([^"]+)",(?:[^{}]*?)command: "(\w+)"')
_OFFERED = re.compile(r'<Commanding\s+command="(\w+)".*?</Commanding>', re.DOTALL)
_TEXT = re.compile(
    r">\s*([A-Z][a-z]+[\w ]*)|aria-label=\"([A-Z][^\"]+)\"|\? \"([A-Z][\w ]+)\" : \"([A-Z][\w ]+)\""
)


def _used() -> list[tuple[str, str, str]]:
    """Return each place that offers a command: file, method, words."""
    found = []
    for file in sorted(SOURCES.rglob("*.tsx")) + sorted(SOURCES.rglob("*.ts")):
        if "gen" in file.parts or ".test." in file.name:
            continue
        source = file.read_text(encoding="utf-8")
        found += [(file.name, method, label) for label, method in _LISTED.findall(source)]
        for offered in _OFFERED.finditer(source):
            texts = [text for groups in _TEXT.findall(offered[0]) for text in groups if text]
            found += [(file.name, offered[1], text) for text in texts]
    return found


def test_what_sends_a_command_is_called_as_the_command() -> None:
    used = _used()
    wrong = [
        (file, method, text)
        for file, method, text in used
        if not any(re.match(rf"{word}\b", text) for word in WORDS[method])
    ]
    assert wrong == []
    assert {method for _, method, _ in used} == WORDS.keys()


@pytest.mark.parametrize("method", WORDS)
def test_the_command_line_has_the_same_word(method: str) -> None:
    commands = getattr(get_command(app), "commands")  # noqa: B009
    for word, command in WORDS[method].items():
        assert command in commands
        if word not in {"Skip", "Launch", "Record", "Send the signal"}:
            assert word.lower() == command
