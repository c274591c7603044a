"""Faults: unforeseen errors, contained to the one run, schedule or record that they concern.

Code that works for many catches the exception of one, records it here, and continues with the others. People
are told the reference under which the log has the stack.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from kaon_wire.errors import KaonError

log = structlog.get_logger(__name__)

# Characters of an exception's text in messages to people.
_CHARACTERS = 500
# Characters of a stack.
_STACK_CHARACTERS = 16_000


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An unforeseen error, as logged."""

    # The reference in the log, next to the stack.
    reference: str
    # The activity during which it was raised.
    doing: str
    # The exception's class, and its text if it is meant for people. Other texts may contain secrets and stay
    # in the log.
    kind: str
    text: str = ""

    def __str__(self) -> str:
        what = f"{self.kind}: {self.text}" if self.text else self.kind
        return (
            f"{what}, while {self.doing}; the coordinator's log tells more under {self.reference}"
        )


def new_reference() -> str:
    """Return a new reference of a fault."""
    return uuid.uuid4().hex[:12]


def note_fault(doing: str, error: BaseException, **about: object) -> Fault:
    """Log an unforeseen error with its stack.

    Args:
        doing: The activity, phrased to follow "while".
        error: The exception.
        about: The run, schedule or record, as fields for the log.
    """
    text = _plain(str(error)[:_CHARACTERS]) if isinstance(error, KaonError) else ""
    fault = Fault(reference=new_reference(), doing=doing, kind=type(error).__name__, text=text)
    told = {name: _plain(str(value)) for name, value in about.items()}
    log.error(
        "fault contained", reference=fault.reference, doing=doing, **told, stack=_stack(error)
    )
    return fault


def _stack(error: BaseException) -> str:
    """Return the stack as text.

    The logger does not format it: a formatter with local variables would show a run's whole state, and a lone
    surrogate would raise again.
    """
    lines = traceback.format_exception(error)
    kept = "".join(lines)
    if len(kept) > _STACK_CHARACTERS:
        kept = f"{kept[: _STACK_CHARACTERS // 2]}\n...\n{kept[-_STACK_CHARACTERS // 2 :]}"
    return _plain(kept)


def _plain(text: str) -> str:
    """Return a text that every store and log accepts."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


@contextmanager
def going_on(doing: str, **about: object) -> Iterator[None]:
    """Log any exception raised inside, and continue: for work that is repeated, or that nothing depends on."""
    try:
        yield
    except KaonError as error:
        log.warning("operation failed; retrying", doing=doing, reason=str(error), **about)
    except Exception as error:
        note_fault(doing, error, **about)
