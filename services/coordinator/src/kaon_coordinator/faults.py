"""What nobody has foreseen, kept to the one run, schedule or record that it concerns.

Whoever works for many catches what is raised while it works for one, notes it here, and goes on with the others. The reference that
the log has with the stack is what people are told.
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

# Of what was raised, in what people are told.
_CHARACTERS = 500
# Of a stack.
_STACK_CHARACTERS = 16_000


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something unforeseen, as the log has it."""

    # Stands in the log with the stack.
    reference: str
    # What was going on.
    doing: str
    # The class of what was raised, and what it says where that is meant for people. Other texts may hold anything, and stay in
    # the log.
    kind: str
    text: str = ""

    def __str__(self) -> str:
        what = f"{self.kind}: {self.text}" if self.text else self.kind
        return f"{what}, while {self.doing}; the coordinator's log tells more under {self.reference}"


def new_reference() -> str:
    """What a fault is called."""
    return uuid.uuid4().hex[:12]


def note_fault(doing: str, error: BaseException, **about: object) -> Fault:
    """Logs something unforeseen with its stack.

    Args:
        doing: what was going on, as it goes on after "while".
        error: what was raised.
        about: whom it concerns, for the log.
    """
    text = _plain(str(error)[:_CHARACTERS]) if isinstance(error, KaonError) else ""
    fault = Fault(reference=new_reference(), doing=doing, kind=type(error).__name__, text=text)
    told = {name: _plain(str(value)) for name, value in about.items()}
    log.error("fault contained", reference=fault.reference, doing=doing, **told, stack=_stack(error))
    return fault


def _stack(error: BaseException) -> str:
    """The stack as text. Not left to the log: what shows local variables would show a run's whole state, and half of a surrogate
    pair would raise again."""
    lines = traceback.format_exception(error)
    kept = "".join(lines)
    if len(kept) > _STACK_CHARACTERS:
        kept = f"{kept[: _STACK_CHARACTERS // 2]}\n...\n{kept[-_STACK_CHARACTERS // 2 :]}"
    return _plain(kept)


def _plain(text: str) -> str:
    """Text that every store and log takes."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


@contextmanager
def going_on(doing: str, **about: object) -> Iterator[None]:
    """Whatever is raised inside is logged, and the caller goes on: for work that is done again, or that nothing depends on."""
    try:
        yield
    except KaonError as error:
        log.warning("put off", doing=doing, reason=str(error), **about)
    except Exception as error:
        note_fault(doing, error, **about)
