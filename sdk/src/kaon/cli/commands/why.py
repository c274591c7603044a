"""The command that explains why a step or run does not go on."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from kaon.cli import formatting, options, output


def why(
    run: options.RunId,
    path: Annotated[
        str,
        typer.Argument(
            metavar="STEP",
            help="Path of a step, or the name of a step that has no path yet; default: the run as a whole.",
            show_default=False,
        ),
    ] = "",
    state: options.State = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Explain why a step, or the run as a whole, does not run yet, as a chain of wait reasons.

    \b
    kaon why 01JD3Z...
    kaon why 01JD3Z... 'regions[US]/train-region'
    kaon why 01JD3Z... publish --json
    """
    with options.reached(server=server, state=state) as client:
        found = client.why(run, path)
    if json:
        output.print_json(found)
        return
    out = output.console()
    out.print(
        Text.assemble(
            (found.path or path or f"run {run}", "bold"),
            " is ",
            (formatting.status(found.status), formatting.LOOKS[found.status][1]),
        )
    )
    for depth, reason in enumerate(found.reasons):  # each is what the one before waits for
        out.print(Text(f"{'  ' * depth}→ {reason.text}"), soft_wrap=True)
    if not found.reasons and found.text:
        out.print(Text(found.text), soft_wrap=True)
