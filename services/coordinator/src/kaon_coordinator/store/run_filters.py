"""What a filter of runs means in SQL."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, exists, func, literal_column, or_

from kaon_coordinator.store.tables import run_labels, runs
from kaon_wire import canonical
from kaonapi.view.v1 import runs_pb2

# What an origin is called that is none: somebody has submitted the run by hand.
MANUAL = "manual"
_TEXTS = (
    runs.c.run_id,
    runs.c.workflow,
    runs.c.origin,
    runs.c.submitter,
    runs.c.params,
    runs.c.labels,
)


def has_label(name: str, value: str) -> ColumnElement[bool]:
    """Whether a run has a label; an empty value means any."""
    # An alias: the query around may read the labels, too.
    label = run_labels.alias()
    found = exists().where(label.c.run_id == runs.c.run_id, label.c.name == name)
    return found.where(label.c.value == value) if value else found


def has_param(name: str, text: str) -> ColumnElement[bool]:
    """Whether a parameter of a run has a value, given as JSON; a whole number is also that of a float."""
    return or_(*(runs.c.params.contains(each, autoescape=True) for each in _members(name, text)))


def holds_param(connection: Connection, name: str, text: str) -> ColumnElement[bool]:
    """Whether a parameter of a run has exactly this value: capitals count, as they do not for people who search."""
    place = func.instr if connection.dialect.name == "sqlite" else func.strpos
    return or_(*(place(runs.c.params, each) > 0 for each in _members(name, text)))


def _members(name: str, text: str) -> list[str]:
    """Return the texts of which one stands in the parameters of a run that has this value, given as JSON."""
    value = canonical.strict(text)
    # An object's members stand in its text as they stand in any other: a quote inside of a value is escaped.
    return sorted(
        {canonical.dumps({name: each})[1:-1] for each in (value, canonical.as_float(value))}
    )


def within(wish: runs_pb2.RunFilter) -> list[ColumnElement[bool]]:
    """Return the times between which the runs must have been submitted."""
    found = []
    if wish.HasField("created_from"):
        found.append(runs.c.create_us >= wish.created_from.ToMicroseconds())
    if wish.HasField("created_until"):
        found.append(runs.c.create_us < wish.created_until.ToMicroseconds())
    return found


def rest(wish: runs_pb2.RunFilter) -> list[ColumnElement[bool]]:
    """Everything that is asked of a run besides its workflow, its status, its parent, its id and when it was submitted."""
    found = [*_ends(wish), *_makers(wish), *_contents(wish)]
    if wish.roots_only:
        found.append(runs.c.parent_run_id == "")
    return found


def _ends(wish: runs_pb2.RunFilter) -> list[ColumnElement[bool]]:
    found = []
    if wish.HasField("ended_from") or wish.HasField("ended_until"):
        found.append(runs.c.end_us > literal_column("0"))
    if wish.HasField("ended_from"):
        found.append(runs.c.end_us >= wish.ended_from.ToMicroseconds())
    if wish.HasField("ended_until"):
        found.append(runs.c.end_us < wish.ended_until.ToMicroseconds())
    return found


def _makers(wish: runs_pb2.RunFilter) -> list[ColumnElement[bool]]:
    found = []
    if wish.origins:
        found.append(or_(*map(_origin, wish.origins)))
    if wish.submitters:
        found.append(runs.c.submitter.in_(list(wish.submitters)))
    return found


def _origin(origin: str) -> ColumnElement[bool]:
    if origin == MANUAL:
        return runs.c.origin == ""
    if origin.endswith(":"):
        return runs.c.origin.startswith(origin, autoescape=True)
    return runs.c.origin == origin


def _contents(wish: runs_pb2.RunFilter) -> list[ColumnElement[bool]]:
    found = [has_label(name, value) for name, value in wish.labels.items()]
    found += [has_param(name, text) for name, text in wish.params_json.items()]
    if wish.HasField("late"):
        is_late = runs.c.data.contains('"late":true', autoescape=True)
        found.append(is_late if wish.late else ~is_late)
    if wish.HasField("quarantined"):
        is_quarantined = runs.c.error.contains('"type":"LostRunners"', autoescape=True)
        found.append(is_quarantined if wish.quarantined else ~is_quarantined)
    if wish.text:
        wanted = wish.text.lower()
        found.append(
            or_(*(func.lower(column).contains(wanted, autoescape=True) for column in _TEXTS))
        )
    return found
