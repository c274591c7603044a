"""Structured logs: one JSON object per line on stderr, the same in every service, with run, step and attempt if any.

Commands that people read print a line of text instead.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

# The `extra` of records from Python's own `logging`.
_FIELDS = ("run", "step", "attempt", "generation")
# Without the values of local variables, which structlog adds: they are tokens, passwords and people's data, and to write out
# those of a coordinator took minutes in which it answered nobody.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
_COMMON: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _TRACEBACKS,
)
# What people are told of a record otherwise, or what says nothing to them.
_NOT_FIELDS = frozenset({"event", "level", "timestamp", "exception", "logger"})
_RENDERER = structlog.processors.JSONRenderer()


def configure_logs(level: str = "info", *, for_people: bool = False) -> None:
    """Send the logs of this process to stderr, those of libraries from warnings on. SIGUSR2 adds the stacks of all threads.

    Args:
        level: "debug", "info", "warning" or "error".
        for_people: A line is text, without the frames of an exception.

    Raises:
        ValueError: The level is unknown.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r}: use debug, info, warning or error")
    renderer: Processor = _as_text if for_people else _RENDERER
    structlog.configure(
        processors=[*_COMMON, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(renderer))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
    # The only information about a process that hangs. To the original stream, because it needs a descriptor.
    faulthandler.register(signal.SIGUSR2, file=sys.__stderr__ or sys.stderr)


def _as_text(_logger: Any, _method: str, record: EventDict) -> str:
    """Return a record as one line: level, event, fields, and the error that caused it."""
    fields = " ".join(
        f"{name}={value}" for name, value in record.items() if name not in _NOT_FIELDS
    )
    errors = "; ".join(
        f"{error['exc_type']}: {error['exc_value']}" for error in record.get("exception", ())[:1]
    )
    said = f"{record['level']}: {record['event']}" + (f" ({fields})" if fields else "")
    return " ".join(f"{said}: {errors}".split() if errors else said.split())


def _formatter(renderer: Processor) -> logging.Formatter:
    """Return the same format for records of Python's own `logging`."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(allow=_FIELDS),
            *_COMMON,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
