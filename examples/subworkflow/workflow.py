"""Sub-workflows: each region is scored by a run of another workflow, which is stopped with this one.

kaon run examples/subworkflow/workflow.py
"""

import scoring

from kaon import Workflow, each, param, steps, sub_workflow

score = steps.python("score", scoring.score, region=param("region", str), outputs={"score": float})
score_region = Workflow("score-region", score, outputs={"score": score["score"]})

region = each("region", param("regions", list, default=["EU", "US", "APAC"]))
scored = sub_workflow("scored", score_region, region=region)
best = steps.python("best", scoring.best, scores=scored["score"], outputs={"best": float})

workflow = Workflow("score-regions", scored**region >> best, outputs={"best": best["best"]})
