"""Commands about what runs produced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaon.cli import formatting, options, output, writing
from kaon_wire import canonical

app = typer.Typer(
    name="artifacts",
    no_args_is_help=True,
    help="""List and fetch the artifacts that runs produced, and store those that runs are given.

\b
kaon artifacts list RUN
kaon artifacts get RUN train model
kaon artifacts put ratings.csv --type dataset""",
)

_Path = Annotated[
    str,
    typer.Argument(
        metavar="[PATH]", help="Path or name of a step or block; default: the run's own outputs."
    ),
]
_Output = Annotated[
    str,
    typer.Argument(
        metavar="[OUTPUT]", help="Name of the output; default: the only artifact there."
    ),
]


@app.command("list")
def list_artifacts(
    run: options.RunId,
    path: options.SomePath = "",
    state: options.State = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """List the artifacts of a run: of its own outputs, then of its steps.

    \b
    kaon artifacts list 01JD3Z...
    kaon artifacts list 01JD3Z... 'regions[US]'
    kaon artifacts list 01JD3Z... --json | jq -r .digest
    """
    with options.reached(server=server, state=state) as client:
        found = list(client.artifacts.list(run, path))
    if json:
        for each in found:
            output.print_json(each)
        return
    output.print_table(
        ("STEP", "OUTPUT", "TYPE", "SIZE", "DIGEST", "NAME"),
        (
            (
                each.path or "(run)",
                each.output,
                each.type,
                formatting.size(each.size_bytes),
                each.digest[:19] or each.uri,
                each.name,
            )
            for each in found
        ),
        nothing="No artifact.",
    )


@app.command("get")
def get(
    run: options.RunId,
    path: _Path = "",
    output_name: _Output = "",
    to: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="Where to write it; default: its own name, here."
        ),
    ] = None,
    state: options.State = None,
    server: options.Server = options.SERVER,
) -> None:
    """Download an artifact. A directory is unpacked. The digest is checked.

    \b
    kaon artifacts get 01JD3Z... train model
    kaon artifacts get 01JD3Z... report plot -o convergence.png
    """
    with options.reached(server=server, state=state) as client:
        written = client.artifacts.download(run, path, output_name, to=to)
    output.say(str(written))


@app.command("cat")
def cat(
    run: options.RunId,
    path: _Path = "",
    output_name: _Output = "",
    state: options.State = None,
    server: options.Server = options.SERVER,
) -> None:
    """Print the bytes of an artifact; of a directory, those of its tar file.

    \b
    kaon artifacts cat 01JD3Z... load ratings | head
    kaon artifacts cat 01JD3Z... train model | tar -t
    """
    with options.reached(server=server, state=state) as client:
        writing.write_pieces(client.artifacts.read(run, path, output_name), None)


@app.command("put")
def put(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="The file or directory.", exists=True, show_default=False
        ),
    ],
    type_: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Its type: dataset, model, metrics, plot, table, text or file.",
        ),
    ] = "file",
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Its name; default: that of the path.")
    ] = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Store a file or directory, and print the value that names it as a parameter of a run.

    `-p NAME=@PATH` of submit, run and others stores it on the way.

    \b
    kaon artifacts put ratings.csv --type dataset
    kaon submit recommendations -p "ratings=$(kaon artifacts put ratings.csv --type dataset)"
    kaon submit recommendations -p ratings=@ratings.csv
    """
    with options.client(server=server) as client:
        found = client.artifacts.put(path, type_, name=name)
    value = {"artifact": found.to_reference()}
    if json:
        output.print_json(value)
    else:
        output.say(canonical.dumps(value))
