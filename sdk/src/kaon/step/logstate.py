"""What a step can change in the configuration of `logging`."""

from __future__ import annotations

import contextlib
import logging
from typing import Any


class LogState:
    """The configuration of `logging` at the moment when it is made: handlers, and the levels of loggers that are known by then."""

    def __init__(self) -> None:
        self._made = _made()
        self._root = list(logging.root.handlers)
        self._disabled = logging.root.manager.disable
        self._loggers = {
            logger: (list(logger.handlers), list(logger.filters), logger.level)
            for logger in _loggers()
        }
        self._level = logging.root.level

    def restore(self) -> None:
        """Restore the state. Details are compared only when a handler was made or the root has changed."""
        root = logging.root
        if root.manager.disable != self._disabled:
            root.manager.disable = self._disabled
        if root.level == self._level and root.handlers == self._root and _made() == self._made:
            return
        for logger in _loggers():
            handlers, filters, level = self._loggers.get(logger, ([], logger.filters, logger.level))
            _restore_handlers(logger, handlers)
            logger.filters[:] = filters
            if logger.level != level:
                logger.setLevel(level)
        self._made = _made()


def _made() -> list[Any]:
    """Return references to all handlers."""
    made: list[Any] = logging._handlerList.copy()  # type: ignore[attr-defined]
    return made


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(each for each in known if isinstance(each, logging.Logger))]


def _restore_handlers(logger: logging.Logger, saved: list[logging.Handler]) -> None:
    if logger.handlers == saved:
        return
    # Libraries give theirs a null handler when they are imported, and stay imported.
    new = [
        each
        for each in logger.handlers
        if each not in saved and type(each) is not logging.NullHandler
    ]
    for handler in new:
        logger.removeHandler(handler)
        with contextlib.suppress(Exception):
            handler.close()
    for handler in saved:
        logger.addHandler(handler)
