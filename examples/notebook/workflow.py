"""A fit with metrics and a model, for the page about notebooks."""

import fit

from kaon import Workflow, param, steps

fitted = steps.python(
    "fit", fit.fit, rows=param("rows", int, default=100), outputs={"model": "model", "rmse": float}
)
workflow = Workflow("notebook", fitted, outputs={"model": fitted["model"], "rmse": fitted["rmse"]})
