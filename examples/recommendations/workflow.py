"""The main job: a cohort, a global and many regional models, a test of their stability, and a published model.

get-users                       Hive    the cohort
wrangle                         Python  two sets of users, and which regions there are
train-global, validate-global   Spark, with HDFS as scratch space     } side by side
train-region, validate-region   R, for each region                    }
select                          Python  a model for each region
validate-model                  Scala   stable? If not, the whole process again, with what the result says
publish                         an image of the model, checked by running it, announced
"""

from __future__ import annotations

from recommend import importing, reporting, selecting, training, wrangling

from kaon import Workflow, each, last, param, repeat, steps

# How strongly models are drawn towards what all have in common. Each pass takes what the last one's result asks for.
shrinkage = last("validate-model.next_shrinkage", default=param("shrinkage", float, default=2.0))

import_data = steps.python(
    "import-data",
    importing.import_data,
    data=param("data", str),
    outputs={"users": "dataset", "ratings": "dataset", "items": "dataset"},
)

get_users = steps.hive(
    "get-users",
    query="sql/cohort.sql",
    users=import_data["users"],
    ratings=import_data["ratings"],
    min_ratings=param("min_ratings", int, default=20),
    max_regions=param("max_regions", int, default=7),
    outputs={"users": "dataset", "rows": int},
    timeout="5m",
)

wrangle = steps.python(
    "wrangle",
    wrangling.wrangle,
    cohort=get_users["users"],
    ratings=import_data["ratings"],
    outputs={"global_set": "dataset", "regional_set": "dataset", "regions": list},
)

train_global = steps.spark(
    "train-global",
    training.train_global,
    ratings=wrangle["global_set"],
    shrinkage=shrinkage,
    outputs={"model": "model", "predictions": "dataset"},
    timeout="10m",
)
validate_global = steps.spark(
    "validate-global",
    training.validate_global,
    predictions=train_global["predictions"],
    outputs={"rmse": float, "by_region": dict},
    timeout="5m",
)

region = each("region", wrangle["regions"])
train_region = steps.r(
    "train-region",
    "r/train.R",
    ratings=wrangle["regional_set"],
    region=region,
    shrinkage=shrinkage,
    outputs={"model": "model"},
    timeout="5m",
)
validate_region = steps.r(
    "validate-region",
    "r/validate.R",
    ratings=wrangle["regional_set"],
    region=region,
    model=train_region["model"],
    outputs={"rmse": float, "count": int},
    timeout="5m",
)

select = steps.python(
    "select",
    selecting.select,
    regions=wrangle["regions"],
    regional_models=train_region["model"],
    regional_rmse=validate_region["rmse"],
    global_model=train_global["model"],
    global_rmse=validate_global["by_region"],
    ratings=wrangle["regional_set"],
    items=import_data["items"],
    outputs={"model": "model", "choices": list, "metrics": dict},
)

validate_model = steps.scala(
    "validate-model",
    "scala/ValidateModel.scala",
    main="ValidateModel",
    threshold=param("threshold", float, default=0.25),
    shrinkage=shrinkage,
    regions=wrangle["regions"],
    regional_models=train_region["model"],
    global_model=train_global["model"],
    choices=select["choices"],
    history=last("validate-model.history", default=[]),
    outputs={"stable": bool, "next_shrinkage": float, "history": list},
    timeout="5m",
)

report = steps.python(
    "report",
    reporting.report,
    history=validate_model["history"],
    metrics=select["metrics"],
    rows=get_users["rows"],
    outputs={"markdown": "text", "html": "text", "error_plot": "plot", "convergence_plot": "plot"},
)
publish = steps.publish(
    "publish",
    "recommendations",
    model=select["model"],
    metrics=select["metrics"],
    data=wrangle["global_set"],
    outputs={"version": int, "digest": str, "reference": str},
    timeout="10m",
)

models = (train_global >> validate_global) | (train_region >> validate_region) ** region
one_pass = get_users >> wrangle >> models >> select >> validate_model
until_stable = repeat(one_pass, until=validate_model["stable"], max_iterations=5)

workflow = Workflow("recommendations", import_data >> until_stable >> (report | publish))
