"""Runs one function as a step in a process of its own: `python -m kaon.step.main module:function`.

Obeys the step protocol: reads $KAON_STEP_DIR/context.json, writes `outputs/<name>.json`, sends events through the pipe `events`.
Exit code 0 means success, 1 that the step failed and said why.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from kaon.step.call import (
    InvalidTarget,
    call,
    exit_answer,
    exit_code,
    failure,
    find_code,
    load,
    told,
)
from kaon.step.context import StepCancelled, StepContext, refuse_copy
from kaon.step.keeping import keep
from kaon.step.outputs import ARTIFACT_TYPES, InvalidOutputs
from kaon.step.signals import Inbox

# A write of at most this many bytes to a pipe is not mixed with others.
_EVENT_BYTES = 4000


class EventPipe:
    """The pipe to the runner.

    Args:
        path: the named pipe; the runner has it open for reading. A checkpoint that is too long for it goes into a file beside it.
    """

    def __init__(self, path: Path) -> None:
        self._checkpoint = path.with_name("checkpoint.json")
        self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def send(self, event: dict[str, Any]) -> None:
        """Write one line; texts that are too long are cut.

        Raises:
            RuntimeError: in a process that the step has forked.
        """
        refuse_copy(self._pid)
        line = self._line(event)
        with self._lock:
            os.write(self._fd, line)

    def _line(self, event: dict[str, Any]) -> bytes:
        line = json.dumps(event).encode() + b"\n"
        if len(line) <= _EVENT_BYTES:
            return line
        if event["kind"] == "checkpoint":
            return self._by_file(event["value"])
        # JSON may need up to six bytes for one character, so the longest texts that fit are found by trying.
        length = _EVENT_BYTES
        while len(line) > _EVENT_BYTES:
            length //= 2
            line = (
                json.dumps(
                    {name: _shortened(name, value, length) for name, value in event.items()}
                ).encode()
                + b"\n"
            )
        return line

    def _by_file(self, value: Any) -> bytes:
        # Moved into place: the runner never reads half of it.
        partial = self._checkpoint.with_suffix(".new")
        partial.write_text(json.dumps(value), encoding="utf-8")
        partial.rename(self._checkpoint)
        return json.dumps({"kind": "checkpoint", "file": self._checkpoint.name}).encode() + b"\n"


class CommandPipe:
    """The pipe from the runner: what it says to the step, one JSON document a line.

    Args:
        path: the named pipe; the runner has it open, so opening it does not wait and it never ends.
    """

    def __init__(self, path: Path) -> None:
        self._directory = path.parent
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._partial = b""

    def signals(self) -> list[dict[str, Any]]:
        """Return the signals that have arrived; the rest is for steps that cannot be sent a TERM."""
        messages = [self._complete(json.loads(line)) for line in self._lines()]
        return [message for message in messages if message["kind"] == "signal"]

    def _lines(self) -> list[bytes]:
        lines: list[bytes] = []
        try:
            while data := os.read(self.fd, 65536):
                *complete, self._partial = (self._partial + data).split(b"\n")
                lines += complete
        except BlockingIOError:
            pass
        return lines

    def _complete(self, message: dict[str, Any]) -> dict[str, Any]:
        if "file" not in message:
            return message
        payload = json.loads((self._directory / message["file"]).read_text(encoding="utf-8"))
        return {**message, "payload": payload}


def _shortened(name: str, value: Any, length: int) -> Any:
    if not isinstance(value, str):
        return value
    # The end of a traceback says most, and the beginning of everything else.
    return value[-length:] if name == "traceback" else value[:length]


def write_outputs(outputs: dict[str, Any], context: StepContext) -> None:
    """Write the outputs of a function to the file that the runner reads."""
    directory = context.directory
    for name, value in outputs.items():
        path = (
            value.get("path")
            if isinstance(value, dict) and context.outputs.get(name) in ARTIFACT_TYPES
            else None
        )
        if path is None:
            (directory / "outputs" / f"{name}.json").write_text(
                json.dumps(value, allow_nan=False), encoding="utf-8"
            )
        else:
            keep(Path(path), directory, name)


class Leaving:
    """Ends the process without the exit handlers of C libraries.

    Some of them (of the threads of pyarrow and gRPC) occasionally abort a process that has done its work. Python's own exit
    handlers have run by then, and its threads have ended.
    """

    def __init__(self) -> None:
        # Unknown as long as something unforeseen may still be told by Python itself.
        self.code: int | None = None

    def __call__(self) -> None:
        """Run last: it is the first to be registered with `atexit`."""
        if self.code is None:
            return
        for stream in (sys.stdout, sys.stderr):
            # Whoever read it may have gone.
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(self.code)


def main() -> None:
    """Entry point."""
    leaving = Leaving()
    atexit.register(leaving)
    directory = Path(os.environ["KAON_STEP_DIR"])
    document = json.loads((directory / "context.json").read_text(encoding="utf-8"))
    pipe = EventPipe(directory / "events")
    commands = CommandPipe(directory / "commands")

    def say(event: dict[str, Any]) -> None:
        if event["kind"] == "serving":
            # They may be more than fits into a line.
            write_outputs(event["outputs"], context)
            event = {"kind": "serving"}
        pipe.send(event)

    context = StepContext(document, say, Inbox(commands.fd, commands.signals))

    def on_term(number: int, frame: FrameType | None) -> None:
        if not context.cancel():
            raise StepCancelled

    signal.signal(signal.SIGTERM, on_term)
    try:
        leaving.code = _run(context, pipe)
    except SystemExit as error:
        # As the system cuts it.
        leaving.code = exit_code(error) & 0xFF
        # Python prints what it may carry.
        raise
    sys.exit(leaving.code)


def _whole() -> bool:
    """Whether the function takes the whole context in place of the inputs."""
    return len(sys.argv) > 2 and sys.argv[2] == "--whole"


def _run(context: StepContext, pipe: EventPipe) -> int:
    pid = os.getpid()
    try:
        if _whole():
            # Kaon's own function, which runs the step's: nothing that it imports is taken from the step's code.
            load(sys.argv[1])
        find_code()
        outputs = call(sys.argv[1], context, inputs_as_arguments=not _whole())
        # A process that the step has forked gives no outputs.
        if os.getpid() == pid:
            write_outputs(outputs, context)
    except StepCancelled:
        return 128 + signal.SIGTERM
    except SystemExit as error:
        # A number is the process's own code, which the runner tells of together with the end of what was printed.
        if isinstance(error.code, str) and os.getpid() == pid:
            pipe.send(exit_answer(error))
        raise
    except (InvalidTarget, InvalidOutputs) as error:
        pipe.send(told(type(error).__name__, str(error)))
        return 1
    except BaseException as error:
        if os.getpid() != pid:
            raise  # to the end of the forked process, as in any program
        pipe.send(failure(error))
        return 1
    return 0


if __name__ == "__main__":
    main()
