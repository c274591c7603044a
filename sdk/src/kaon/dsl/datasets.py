"""Datasets that steps produce: names that schedules wait for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kaon.dsl import names
from kaon.dsl.errors import WorkflowError
from kaon.dsl.later import known_later
from kaon.dsl.source import Source, caller
from kaon.dsl.values import Value
from kaon_wire.definitions import policies
from kaon_wire.errors import InvalidValue


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """What a step produces; `dataset` makes it."""

    name: str
    # A text, or a value that is known when the step begins.
    partition: Any
    source: Source


def dataset(name: str, /, *, partition: str | int | Value = "") -> Dataset:
    """Name a dataset of the tenant that the success of a step updates.

        steps.python("load", load, day=day, produces=[dataset("ratings", partition=day)])

    Args:
        name: its name; lower-case letters, digits, hyphens and dots. It needs no declaration.
        partition: which part of it: a text, a parameter, an item, an output of an earlier step or an expression. Without it the
            whole dataset is updated.

    Raises:
        WorkflowError: the name or the partition is not good.
    """
    source = caller()
    names.check_block_name(name, "dataset", source)
    if not known_later(partition):
        try:
            partition = policies.converted("step", f"step.datasets.{name}", partition) or ""
        except InvalidValue as error:
            raise WorkflowError(str(error), source) from None
    return Dataset(name=name, partition=partition, source=source)


def produced(given: object, what: str, source: Source) -> Iterator[tuple[str, Any]]:
    """Yield name and partition of the datasets of a step; errors name `what` it is.

    Raises:
        WorkflowError: they are none, or one of them comes twice.
    """
    listed = () if given is None else [given] if isinstance(given, Dataset) else given
    if not isinstance(listed, Iterable) or isinstance(listed, str):
        raise _no_datasets(given, what, source)
    found = set()
    for each in listed:
        if not isinstance(each, Dataset):
            raise _no_datasets(given, what, source)
        if each.name in found:
            text = "one step updates one partition of it; use a foreach over the partitions"
            raise WorkflowError(f"{what}: produces has dataset {each.name!r} twice; {text}", source)
        found.add(each.name)
        yield each.name, each.partition


def _no_datasets(given: object, what: str, source: Source) -> WorkflowError:
    return WorkflowError(
        f'{what}: produces is a list such as [dataset("ratings")], not {given!r}', source
    )
