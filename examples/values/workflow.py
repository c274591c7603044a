"""Values: computed in expressions, taken from the way of a branch that ran, joined in a map.

kaon run examples/values/workflow.py
kaon run examples/values/workflow.py -p full=false -p regions='["US", "DE"]'
"""

import report

from kaon import Workflow, branch, coalesce, expr, param, steps, when

regions = param(
    "regions",
    list,
    default=["US", "DE", "Zürich"],
    check="value.all(each, type(each) == string && size(each) <= 6)",
)
full = param("full", bool, default=True)
load = steps.python(
    "load",
    report.load,
    regions=regions,
    full=full,
    outputs={"regions": list, "rows": list, "full": bool},
)
count = steps.python("count", report.count, rows=load["rows"], outputs={"total": int})
estimate = steps.python("estimate", report.estimate, rows=load["rows"], outputs={"total": int})
# Of the two ways of the branch one gives a total; the other one's is null.
total = coalesce(count["total"], estimate["total"])
tell = steps.python(
    "tell",
    report.tell,
    title=expr("'rows of ' + regions.sort().join(', ')", regions=load["regions"]),
    summary={"total": total, "half": expr("total * 0.5", total=total)},
    large=expr(
        "zip(regions, rows).filter(pair, pair[1] > 50).map(pair, pair[0])",
        regions=load["regions"],
        rows=load["rows"],
    ),
    # When the branch went the other way, the function's default is used.
    counted=count["total"],
    outputs={"line": str},
)

workflow = Workflow(
    "values",
    load >> branch(when(load["full"], count), otherwise=estimate) >> tell,
    outputs={"line": tell["line"], "total": total},
)
