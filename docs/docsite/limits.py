"""The reference of limits: those that `KAON_LIMITS` changes, and the fixed ones."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from docsite.text import table
from kaon.dsl import bundle
from kaon_artifacts import names
from kaon_coordinator import retention
from kaon_coordinator.api import run_labels, runs, schedules, tenant_signals, workflows
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.state import paths
from kaon_coordinator.schedules import times
from kaon_coordinator.store.log_bounds import LogBounds
from kaon_publisher import serve_app
from kaon_wire import bounds
from kaon_wire.cel.program import EXPRESSION_CHARACTERS

_INTRODUCTION = """# Limits

What exceeds a limit is refused, or fails its step, with an error that names the limit.

## Limits that a deployment may change

`KAON_LIMITS` of coordinators changes them: `KAON_LIMITS="foreach_items=200000, iterations=500"`.
Give all coordinators the same value, and clients, too, where the limits of definitions are raised: the SDK checks these
before it sends anything.
"""
_FIXED = """## Fixed limits

Runners have limits of their own, which are settings: see [settings](settings.md#step-runner).
"""
_ROW = re.compile(r"^\| `([a-z_]+)` \| ([^|]*) \| (.*) \|$", re.MULTILINE)
_UNITS = ((1 << 20, "MiB"), (1 << 10, "KiB"))


def page(repository: Path) -> str:
    """All limits that users meet."""
    told = explained(repository)
    changed = [(f"`{name}`", told[name][0], told[name][1]) for name in changeable()]
    return "\n".join(
        [
            _INTRODUCTION,
            table(("Limit", "Default", "Of what"), changed),
            _FIXED,
            table(("Limit", "Of what"), fixed()),
        ]
    )


def changeable() -> dict[str, int]:
    """The limits that `KAON_LIMITS` knows, each with its default."""
    default = Limits()
    return {field.name: getattr(default, field.name) for field in fields(Limits)}


def explained(repository: Path) -> dict[str, tuple[str, str]]:
    """What docs/operations.md says: the default, and of what it is the limit."""
    text = (repository / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.partition("\n## Limits\n")[2].partition("\n## ")[0]
    return {name: (default.strip(), what.strip()) for name, default, what in _ROW.findall(section)}


def fixed() -> list[tuple[str, str]]:
    """The limits that nothing changes, as the code has them."""
    logs = LogBounds()
    return [
        (f"{EXPRESSION_CHARACTERS:,} characters", "one expression"),
        (size(bundle.MAX_BYTES), "a code bundle that the SDK makes, as a zip"),
        (size(workflows.LARGEST_BUNDLE), "a code bundle that a coordinator takes"),
        (f"{names.NAME_BYTES} bytes", "the name of an artifact"),
        (
            f"{paths.NAMED_BYTES:,} bytes",
            "a path with the names of its cells; where it would be longer, cells are numbered",
        ),
        (
            f"{bounds.HIGHEST_PRIORITY:,}",
            "a priority, above and below 0",
        ),
        (f"{bounds.LONGEST_MS // 31_557_600_000} years", "a time-out, deadline or wait"),
        (
            f"{bounds.KEY_CHARACTERS} characters",
            "an idempotency key, and every other text that becomes part of a key",
        ),
        (f"{run_labels._MOST}", "labels of one run"),
        (f"{runs._LARGEST_PAGE}", "runs in one page of a list"),
        (f"{schedules.LARGEST_BACKFILL:,}", "runs of one backfill"),
        (
            f"{retention.MOST_UPDATES:,}",
            "updates of datasets that are kept of a tenant; the oldest go first",
        ),
        (f"{tenant_signals.MOST_RUNS:,}", "runs that one signal to all runs reaches"),
        (f"{times.CATCH_UP_LIMIT:,}", "missed times of a schedule that are caught up"),
        (
            f"{logs.head_lines:,} and {logs.tail_lines:,} lines",
            "of what an attempt prints, the first and the last ones that are kept in the database; the log artifact has more",
        ),
        (size(serve_app.LARGEST_REQUEST), "one request to a published model's own server"),
    ]


def size(number: int) -> str:
    """A number of bytes in the largest unit that divides it."""
    for unit, name in _UNITS:
        if number % unit == 0:
            return f"{number // unit} {name}"
    return f"{number:,} bytes"
