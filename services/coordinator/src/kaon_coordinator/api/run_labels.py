"""Labels of runs, as callers send them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kaon_coordinator.problems import InvalidRequest, Problem

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,62}\Z")
_NAME_RULE = "a letter or _ first, then letters, digits and _ . / -, at most 63 characters"
_MOST = 64
_VALUE_CHARACTERS = 200


def checked(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a submission.

    Raises:
        InvalidRequest: The error names every wrong label, or the bound on their number.
    """
    problems = [Problem(field=f"labels[{name}]", text=text) for name, text in _wrong(labels)]
    if len(labels) > _MOST:
        problems.append(
            Problem(field="labels", text=f"there are {len(labels)}; use at most {_MOST}")
        )
    if problems:
        raise InvalidRequest("the run's labels", problems)
    return dict(labels)


def _wrong(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    names = [(name, f"the name must be {_NAME_RULE}") for name in labels if not _NAME.match(name)]
    values = [
        (name, f"the value has {len(value)} characters; use 1 to {_VALUE_CHARACTERS}")
        for name, value in labels.items()
        if not 0 < len(value) <= _VALUE_CHARACTERS
    ]
    return [(name[:80], text) for name, text in names + values]
