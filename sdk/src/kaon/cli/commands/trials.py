"""The command that compares the cells of a sweep."""

from __future__ import annotations

import json as plain_json
import math
from typing import Annotated

import typer
from rich.text import Text

from kaon.cli import options, output
from kaon.cli.values import brief, status_text
from kaon.client import NotFound
from kaon.client.trials import Objective, Trial, objective_of
from kaon_wire import canonical
from kaon_wire.paths import names
from kaon_wire.texts import counted
from kaonapi.run.v1 import run_pb2


def trials(
    run: options.RunId,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[FOREACH]", help="Path or name of a sweep or foreach; default: all of them."
        ),
    ] = "",
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="METRIC",
            help="The metric that the best trial is best at; default: that of early stopping, or the only one.",
        ),
    ] = "",
    maximize: Annotated[
        bool, typer.Option("--maximize", help="With --by: large values are good.")
    ] = False,
    state: options.State = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Compare the trials of a sweep: the hyper-parameters and metrics of each cell, the best first.

    \b
    kaon trials 01JD3Z...
    kaon trials 01JD3Z... search --by accuracy --maximize
    kaon trials 01JD3Z... --json | jq -c '{item, rmse: .metrics.rmse}'
    """
    with options.reached(server=server, state=state) as client:
        found = [each for each in client.trials(run) if not path or names(each.block, path)]
        if not found:
            where = f" {path!r}" if path else ""
            raise NotFound(f"run {run} has no sweep or foreach{where} with cells (yet)")
        definition = client.definition_of(run)
    for block in dict.fromkeys(each.block for each in found):
        mine = [each for each in found if each.block == block]
        chosen = Objective(metric=by, maximize=maximize) if by else objective_of(definition, block)
        chosen = chosen or _only(mine)
        if by and not any(by in each.metrics for each in mine):
            known = ", ".join(sorted({name for each in mine for name in each.metrics})) or "none"
            raise NotFound(f"no cell of {block} has reported the metric {by!r}; they have: {known}")
        _print(block, mine, chosen, json=json)


def _only(found: list[Trial]) -> Objective | None:
    metrics = {name for each in found for name in each.metrics}
    return Objective(metric=metrics.pop()) if len(metrics) == 1 else None


def _print(block: str, found: list[Trial], by: Objective | None, *, json: bool) -> None:
    if by is not None:
        found = sorted(found, key=by.rank)
    best = found[0] if by is not None and by.metric in found[0].metrics else None
    if json:
        for each in found:
            output.print_json(_as_dict(each, best is each))
        return
    params = list(dict.fromkeys(name for each in found for name in each.params))
    metrics = sorted({name for each in found for name in each.metrics})
    if by is not None and best is not None:
        goal = "largest" if by.maximize else "smallest"
        output.say(f"{block}: {counted(len(found), 'trial')}; the best has the {goal} {by.metric}")
    else:
        hint = f"; choose one of its metrics with --by: {', '.join(metrics)}" if metrics else ""
        output.say(f"{block}: {counted(len(found), 'trial')}{hint}")
    output.print_table(
        ("CELL", "BEST", "STATUS", *params, *metrics),
        (
            (
                each.path,
                Text("*", style="bold green") if each is best else "",
                status_text(each.status),
                *(_value(each.params, name) for name in params),
                *(f"{each.metrics[name]:.6g}" if name in each.metrics else "" for name in metrics),
            )
            for each in found
        ),
        nothing="",
    )


def _value(params: object, name: str) -> str:
    assert hasattr(params, "get")
    return brief(canonical.dumps(params.get(name))) if name in params else ""  # type: ignore[operator]


def _as_dict(trial: Trial, best: bool) -> dict[str, object]:
    # JSON has no word for infinity and NaN.
    metrics = {name: plain_json.loads(_number(value)) for name, value in trial.metrics.items()}
    return {
        "path": trial.path,
        "block": trial.block,
        "index": trial.index,
        "item": trial.item,
        "status": run_pb2.Status.Name(trial.status).removeprefix("STATUS_"),
        "metrics": metrics,
        "best": best,
    }


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'"{value!r}"'
