"""A foreach over as many numbers as wanted, and one workflow for each way in which a step misbehaves."""

from __future__ import annotations

import storm_work

from kaon import Resources, Workflow, each, param, steps

ledger = param("ledger", str)
found = steps.python(
    "split", storm_work.split, count=param("count", int), outputs={"numbers": list}
)
number = each("number", found["numbers"])
work = steps.python(
    "work",
    storm_work.work,
    number=number,
    seconds=param("seconds", float),
    ledger=ledger,
    outputs={"number": int},
)
join = steps.python("join", storm_work.join, numbers=work["number"], outputs={"total": int})

workflow = Workflow("storm", found >> work**number >> join)


def _alone(function: object, **options: object) -> Workflow:
    name = function.__name__.replace("_", "-")  # type: ignore[attr-defined]
    return Workflow(
        name, steps.python("only", function, ledger=ledger, outputs={"out": int}, **options)
    )  # type: ignore[arg-type]


FLOWS = {
    flow.name: flow
    for flow in (
        _alone(storm_work.poison),
        _alone(storm_work.forks_a_daemon),
        _alone(storm_work.fills_its_disk),
        _alone(storm_work.eats_its_memory, resources=Resources(memory="120MB")),
        _alone(storm_work.prints_without_newline),
        _alone(storm_work.takes_orders),
        _alone(storm_work.resumes, retry=2),
        _alone(storm_work.works_alone, exclusive=True),
        _alone(storm_work.tells_its_version, requirements="needs.txt"),
    )
}
