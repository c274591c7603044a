"""A foreach over the lines of an artifact, whose joined results are kept as an artifact too."""

import rows

from kaon import Workflow, each, param, steps

make = steps.python("make", rows.make, count=param("count", int), outputs={"rows": "dataset"})
row = each("row", make["rows"])
double = steps.python("double", rows.double, row=row, outputs={"result": dict})
total = steps.python("total", rows.total, results=double["result"], outputs={"total": int})

workflow = Workflow("lists", make >> double**row >> total, outputs={"total": total["total"]})
