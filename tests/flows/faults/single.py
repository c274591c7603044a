"""One workflow for each way in which a step can go wrong."""

from __future__ import annotations

import work

from kaon import Workflow, param, steps

ledger = param("ledger", str)


def _alone(name: str, function: object, **options: object) -> Workflow:
    return Workflow(
        name, steps.python("only", function, ledger=ledger, outputs={"out": int}, **options)
    )  # type: ignore[arg-type]


FLOWS = {
    "fails": _alone("fails", work.fail, retry=2),
    "times-out": _alone("times-out", work.outlive, timeout="2s"),
    "misnames": _alone("misnames", work.misname),
    "prints-much": _alone("prints-much", work.print_much),
    "dies": _alone("dies", work.die),
    "outlives": _alone("outlives", work.outlive),
}
