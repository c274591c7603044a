"""Reads the parameters of many runs, a line for each: JSON objects, or CSV under the names of the parameters."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from kaon.client import params as parameters
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaon_wire.texts import counted
from kaonapi.workflow.v1 import definition_pb2

_STANDARD_INPUT = Path("-")


@dataclass(frozen=True, kw_only=True)
class ParamLine:
    """The parameters of one run."""

    # Counted from 1; of a row of several lines the last one.
    number: int
    # Values by name, or what is wrong with the line.
    params: Mapping[str, Any] | InvalidValue


@contextmanager
def opened(file: Path) -> Iterator[TextIO]:
    """Open a file of lines; "-" stands for standard input.

    Raises:
        InvalidValue: it cannot be read.
    """
    if file == _STANDARD_INPUT:
        yield sys.stdin
        return
    try:
        stream = file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise InvalidValue(f"--each {file}: {error.strerror}") from error
    with stream:
        yield stream


def read(
    lines: Iterable[str], definition: definition_pb2.WorkflowDefinition
) -> Iterator[ParamLine]:
    """Yield the parameters of each line. JSON begins with an object; everything else is CSV.

    Args:
        lines: of text.
        definition: declares the parameters, which says what a text in CSV means. An empty field there leaves its parameter out.

    Raises:
        InvalidValue: the text is not UTF-8, or the head of CSV names what is no parameter.
    """
    numbered = enumerate(lines, 1)
    try:
        for number, line in numbered:
            if not line.strip():
                continue
            rest = chain([(number, line)], numbered)
            if line.lstrip().startswith(("{", "[")):
                yield from _json(rest)
            else:
                yield from _csv(rest, definition)
    except UnicodeDecodeError as error:
        raise InvalidValue(f"--each: the text is not UTF-8: {error}") from error


def _json(numbered: Iterable[tuple[int, str]]) -> Iterator[ParamLine]:
    for number, line in numbered:
        if line.strip():
            yield ParamLine(number=number, params=_object(line))


def _object(line: str) -> Mapping[str, Any] | InvalidValue:
    try:
        value = canonical.loads(line.strip())
    except InvalidValue as error:
        return error
    if not isinstance(value, dict):
        return InvalidValue('write an object of parameters on a line, such as {"rows": 30}')
    return value


def _csv(
    numbered: Iterable[tuple[int, str]], definition: definition_pb2.WorkflowDefinition
) -> Iterator[ParamLine]:
    at = 0

    def texts() -> Iterator[str]:
        nonlocal at
        for number, line in numbered:
            at = number
            yield line

    rows = csv.reader(texts(), strict=True)
    try:
        names = [name.strip() for name in next(rows)]
        _check_head(names, definition)
        for row in rows:
            if any(row):
                yield ParamLine(number=at, params=_parsed(names, row, definition))
    except csv.Error as error:
        raise InvalidValue(f"--each: line {at} is not CSV: {error}") from error


def _check_head(names: list[str], definition: definition_pb2.WorkflowDefinition) -> None:
    declared = [parameter.name for parameter in definition.parameters]
    for name in names:
        if name not in declared or names.count(name) > 1:
            what = "stands twice" if name in declared else "is no parameter"
            raise InvalidValue(
                f"--each: {name!r} in the first line {what} of workflow {definition.name!r}, which has: "
                f"{', '.join(declared) or 'none'}"
            )


def _parsed(
    names: list[str], row: list[str], definition: definition_pb2.WorkflowDefinition
) -> Mapping[str, Any] | InvalidValue:
    if len(row) > len(names):
        return InvalidValue(
            f"it has {counted(len(row), 'field')} for {counted(len(names), 'parameter')}"
        )
    given = {name: text for name, text in zip(names, row, strict=False) if text}
    try:
        return parameters.parse(definition, given)
    except InvalidValue as error:
        return error
