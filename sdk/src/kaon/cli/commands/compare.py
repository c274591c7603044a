"""The command that compares two runs."""

from __future__ import annotations

from kaon.cli import options, output, values
from kaon.cli.comparing import differences

_ABSENT = "-"


def diff(
    first: options.RunId,
    second: options.OtherRunId,
    state: options.State = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """List what differs between two runs: version, parameters, labels and outputs; of each step status, time, outputs and metrics.

    A time differs when it is longer by half, and by a second.

    \b
    kaon diff 01JD3Z... 01JD41...
    kaon diff 01JD3Z... 01JD41... --json | jq -r .what
    """
    with options.reached(server=server, state=state) as client:
        found = list(differences(client.run(first), client.run(second)))
    if json:
        for each in found:
            output.print_json({"what": each.what, "first": each.first, "second": each.second})
        return
    output.print_table(
        ("WHAT", first, second),
        ((each.what, _shown(each.first), _shown(each.second)) for each in found),
        nothing="Nothing differs.",
    )


def _shown(text: str) -> str:
    """Format one side: a reference to an artifact in a few words, all else as it is."""
    return values.brief(text, len(text)) if text.startswith("{") else text or _ABSENT
