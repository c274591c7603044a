"""Code in pages is run as a reader would: files are written, commands are given, and what they print is compared."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from docsite import blocks, pages
from docsite.__main__ import ROOT
from kaon.cli import schedule_file
from kaon.cli.main import execute

DOCS = ROOT / "docs"
# Pages whose code is run from the first block to the last one, in one directory.
RUN = sorted(
    [
        *DOCS.glob("tutorial/*.md"),
        *DOCS.glob("coming-from/*.md"),
        DOCS / "add-a-step-type.md",
        ROOT / "README.md",
    ]
)
# Pages whose Python other tests build or run: test_docs.py and test_language_and_engine.py, test_sdk_page.py and test_testing.py,
# test_reference_pages.py.
BUILT = {DOCS / "workflows.md", DOCS / "sdk.md", DOCS / "model-format.md"}
# All pages of the site, which are all of the repository: test_pages.py says so.
_PATTERNS = [pattern for patterns in pages.CONTENTS.values() for pattern in patterns]
PAGES = sorted({path for pattern in [pages.INDEX, *_PATTERNS] for path in ROOT.glob(pattern)})
_RUN_ID = r"01[0-9a-z]{24}"
# What differs from run to run.
_VARIES = (
    (r"\.\.\.", r".*"),
    (r"\d\d:\d\d:\d\d", r"\\d\\d:\\d\\d:\\d\\d"),
    (r"\d{4}-\d\d-\d\d", r"\\d{4}-\\d\\d-\\d\\d"),
    (r"\b\d+\.\ds", r"[\\d.ms ]+s"),
    (_RUN_ID, _RUN_ID),
    (r"sha256:[0-9a-f]+", r"sha256:[0-9a-f]+"),
)

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_in_a_page_is_run_or_says_why_not(page: Path) -> None:
    untold = [
        f"{page.relative_to(ROOT)}:{block.line}"
        for block in blocks.read(page)
        if block.language in ("python", "console", "bash", "sh")
        and page not in RUN
        and not (block.not_run or block.file)
        and not (page in BUILT and block.language == "python")
    ]
    assert untold == []


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_a_page_works_as_it_is_printed(page: Path, reader: Reader) -> None:
    if page.name == "README.md":
        reader.clones()
    for block in blocks.read(page):
        if block.not_run or (block.language not in ("console", "python") and not block.file):
            continue
        if block.file:
            reader.writes(block.file, block.text)
        elif block.language == "console":
            *before, last = block.commands
            for command, prints in before:
                reader.gives(command, prints)
            reader.gives(*last, exits=block.exits, stays=block.stays)
        else:
            pytest.fail(f"{page.name}:{block.line}: neither a file nor commands")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    work = tmp_path / "work"
    work.mkdir()
    reader = Reader(work, monkeypatch)
    yield reader
    reader.leaves()


class Reader:
    """Somebody who does what a page says, in a directory of their own."""

    def __init__(self, place: Path, patch: pytest.MonkeyPatch) -> None:
        patch.chdir(place)
        for name in [name for name in os.environ if name.startswith("KAON_")]:
            patch.delenv(name)
        ports = [_free_port() for _ in range(2)]
        self._server, self._publisher = (f"127.0.0.1:{port}" for port in ports)
        self._addresses = {
            "KAON_SERVER": self._server,
            "KAON_PUBLISHER_ADDRESS": self._publisher,
            "HOME": str(place),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "200",
        }
        for name, value in self._addresses.items():
            patch.setenv(name, value)
        patch.setattr(sys, "path", [*sys.path])
        self._place, self._patch = place, patch
        self._run = ""
        self._staying: list[subprocess.Popen[str]] = []

    def clones(self) -> None:
        """Gets the examples of the repository."""
        heavy = shutil.ignore_patterns("recommendations", "__pycache__")
        shutil.copytree(ROOT / "examples", self._place / "examples", ignore=heavy)

    def writes(self, name: str, text: str) -> None:
        """Makes a file."""
        path = self._place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.suffix == ".toml":
            schedule_file.read(path)
        # Modules are compiled anew when size or second of the file differ; in a test both may be equal.
        for stale in self._place.rglob("__pycache__/*.pyc"):
            stale.unlink()

    def gives(
        self, command: str, prints: list[str], exits: int = 0, *, stays: bool = False
    ) -> None:
        """Gives a command and compares what it prints."""
        command = re.sub(r"\bRUN\b", self._run, command)
        for told, real in (("7070", self._server), ("7071", self._publisher)):
            command = command.replace(f"127.0.0.1:{told}", real)
        if stays:
            self._stay(command, prints)
            return
        code, output = self._execute(command)
        if code != exits:
            pytest.fail(f"$ {command}\n{output}\nexit code {code}, expected {exits}")
        printed = [" ".join(line.split()) for line in output.splitlines()]
        for line in prints:
            pattern = _pattern(line)
            if not any(map(pattern.search, printed)):
                pytest.fail(f"$ {command}\n{output}\nhas no line like {line!r}")
        self._remember(output)

    def _remember(self, output: str) -> None:
        """Knows the run from then on that was submitted."""
        for found in re.findall(rf"Submitted run ({_RUN_ID})", output):
            self._run = found

    def leaves(self) -> None:
        """Ends what goes on."""
        for process in reversed(self._staying):
            process.terminate()
            process.communicate(timeout=60)

    def _stay(self, command: str, prints: list[str]) -> None:
        """Starts a program and waits for the last line that the page shows of it."""
        if "kaon serve" in command:
            command += f" --address {self._server}"
        process = subprocess.Popen(
            ["bash", "-c", f"exec env {command} 2>&1"], stdout=subprocess.PIPE, text=True
        )
        self._staying.append(process)
        assert process.stdout is not None
        wanted = _pattern(prints[-1].replace("127.0.0.1:7070", self._server))
        seen = []
        # Ends the reading when the program never says it.
        watchdog = threading.Timer(60, process.kill)
        watchdog.daemon = True
        watchdog.start()
        for line in process.stdout:
            seen.append(line)
            self._remember(line)
            if wanted.search(" ".join(line.split())):
                watchdog.cancel()
                return
        pytest.fail(f"$ {command}\n{''.join(seen)}")

    def _execute(self, command: str) -> tuple[int, str]:
        first, *words = shlex.split(command)
        if first == "kaon" and not set(command) & set("|<>*$&;"):
            return self._in_this_process(words)
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def _in_this_process(self, words: list[str]) -> tuple[int, str]:
        """Executes a command of `kaon`: the same as its program does, without the second that its start takes."""
        # Another test may have loaded an example from its own place; this one has copies.
        for name in [*sys.modules]:
            if str(ROOT / "examples") in (getattr(sys.modules[name], "__file__", None) or ""):
                del sys.modules[name]
        output, before, path = TextIOWrapper(BytesIO()), set(sys.modules), [*sys.path]
        try:
            with redirect_stdout(output), redirect_stderr(output):
                code = execute(words)
        finally:
            sys.path[:] = path
            for name in set(sys.modules) - before:
                if str(self._place) in (getattr(sys.modules[name], "__file__", None) or ""):
                    del sys.modules[name]
        output.flush()
        return code, output.buffer.getvalue().decode()  # type: ignore[attr-defined]


def _pattern(line: str) -> re.Pattern[str]:
    """Finds a line of a page in what a command has printed, whatever the spaces between words."""
    pattern = re.escape(" ".join(line.split()))
    pattern = pattern.replace(r"\.\.\.", "...").replace(r"\ ", " ").replace(r"\-", "-")
    pattern = pattern.replace(r"\.", ".") if re.search(r"\d\.\ds", line) else pattern
    for varying, general in _VARIES:
        pattern = re.sub(varying, general, pattern)
    return re.compile(pattern)


def _free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])
