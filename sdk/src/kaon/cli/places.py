"""Shows steps, blocks and cells of a run in full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from kaon.cli import formatting, output
from kaon.cli.values import brief, status_text, took
from kaon_wire.errors import NotFound
from kaon_wire.paths import names, names_merely_a_cell
from kaon_wire.texts import counted, meant
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.step.v1 import step_pb2

# Characters of a value; artifacts have none but their names.
_LONGEST = 2_000
# Names that an error lists.
_MOST_NAMES = 12


def show(
    found: run_service_pb2.GetRunResponse | run_service_pb2.GetRunAtResponse,
    written: str,
    *,
    json: bool,
) -> None:
    """Print what a person has named in a run: a path, its end, or a name, which stands for all cells.

    Raises:
        NotFound: there is no such step, block or cell; the error has the nearest paths.
    """
    everything: list[run_pb2.StepView | run_pb2.BlockView] = [*found.steps, *found.blocks]
    exact = [place for place in everything if place.path == written]
    meant = exact or [
        place
        for place in everything
        if names(place.path, written) and not names_merely_a_cell(place.path, written)
    ]
    # A cell has no view of its own.
    meant = meant or [step for step in found.steps if step.path.startswith(f"{written}/")]
    if not meant:
        raise NotFound(_nothing(found.run.run_id, [place.path for place in everything], written))
    out = output.console()
    for number, place in enumerate(sorted(meant, key=lambda each: each.path)):
        if json:
            output.print_json(place)
            continue
        if number:
            out.print()
        _print(place, out)
        for cell in _cells_around(found, place.path):
            out.print(
                Text(f"  item of {cell.path} = {brief(cell.item_json, _LONGEST)}", overflow="fold")
            )
        if isinstance(place, run_pb2.BlockView):
            _print_inside(place, found.steps, out)


def _cells_around(
    found: run_service_pb2.GetRunResponse | run_service_pb2.GetRunAtResponse, path: str
) -> list[run_pb2.CellView]:
    if isinstance(found, run_service_pb2.GetRunAtResponse):
        return []
    return [cell for cell in found.cells if path.startswith(f"{cell.path}/")]


def _print_inside(
    block: run_pb2.BlockView, steps: Iterable[run_pb2.StepView], out: Console
) -> None:
    for step in steps:
        if step.path.startswith((f"{block.path}/", f"{block.path}[")):
            out.print(
                Text.assemble("  ", step.path, "  ", status_text(step.status), f"  {took(step)}")
            )


def _nothing(run_id: str, paths: list[str], written: str) -> str:
    names_of = [path.rsplit("/", 1)[-1] for path in paths]
    few = list(dict.fromkeys(names_of))
    hint = meant(written, [*names_of, *paths])
    if not hint and 0 < len(few) <= _MOST_NAMES:
        hint = f"it has {', '.join(few)}"
    return f"run {run_id} has no step, block or cell {written!r} (yet){hint and f'; {hint}'}"


def _print(place: run_pb2.StepView | run_pb2.BlockView, out: Console) -> None:
    out.print(Text.assemble((place.path, "bold"), "  ", status_text(place.status)), soft_wrap=True)
    lines = _step_lines(place) if isinstance(place, run_pb2.StepView) else _block_lines(place)
    for line in lines:
        out.print(Text(f"  {line}", overflow="fold"))
    for name, text in sorted(place.outputs_json.items()):
        out.print(Text(f"  output {name} = {brief(text, _LONGEST)}", overflow="fold"))
    if place.HasField("error"):
        print_error(place.error, out)


def print_error(error: step_pb2.StepError, out: Console) -> None:
    """Print an error in full, with its traceback and what caused it."""
    out.print(
        Text(f"  {formatting.indented(formatting.error(error), '  ')}", style="red"), soft_wrap=True
    )
    if error.details:
        details = formatting.indented(error.details.strip("\n"))
        out.print(Text(f"    {details}"), soft_wrap=True)


def _step_lines(step: run_pb2.StepView) -> Iterator[str]:
    where = f" on {step.runner_id}" if step.runner_id else ""
    yield f"{step.type} step, attempt {step.attempt}{where}"
    if step.HasField("start_time"):
        ended = f", took {took(step)}" if step.HasField("end_time") else ""
        yield f"started {formatting.moment(step.start_time)}{ended}"
    if step.memo_run_id:
        yield f"reused from {step.memo_path} of run {step.memo_run_id}"
    if step.at_breakpoint:
        yield "waits at a breakpoint"
        for name, text in sorted(step.inputs_json.items()):
            yield f"input {name} = {text}"
    if step.lost_runners:
        yield f"lost {counted(step.lost_runners, 'runner')}"
    if step.progress_message:
        yield f"{step.progress:.0%} {step.progress_message}"
    for name, value in sorted(step.metrics.items()):
        yield f"metric {name} = {value:.6g}"


def _block_lines(block: run_pb2.BlockView) -> Iterator[str]:
    yield block.kind.replace("_", "-")
    if block.cells:
        counts = ", ".join(f"{count} {name.lower()}" for name, count in sorted(block.cells.items()))
        yield f"{counted(block.total, 'cell')}: {counts}"
    if block.child_run_id:
        yield f"run {block.child_run_id}"
    if block.memo_run_id:
        yield f"reused from {block.memo_path} of run {block.memo_run_id}"
