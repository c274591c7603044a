"""Gates: a workflow that waits for data, for some time, and for somebody who agrees.

kaon submit examples/gates/workflow.py
kaon signal RUN data-ready -p ratings='[3, 4, 5]'
kaon approve RUN release -p channel=stable --comment "looks good"       # as KAON_ROLES=owner
"""

from typing import Literal

import release

from kaon import Workflow, approval, param, signal, steps, timer

data_ready = signal(
    "data-ready", timeout="6h", default={"ratings": []}, fields=[param("ratings", list[float])]
)
load = steps.python(
    "load", release.load, ratings=data_ready["payload"]["ratings"], outputs={"mean": float}
)
settle = timer("settle", after="200ms")
agreed = approval(
    "release",
    message="Publish the mean?",
    roles=["owner"],
    timeout="2d",
    on_timeout="reject",
    fields=[param("channel", Literal["beta", "stable"], default="beta")],
)
publish = steps.python(
    "publish",
    release.publish,
    mean=load["mean"],
    by=agreed["by"],
    channel=agreed["channel"],
    outputs={"text": str},
)

workflow = Workflow(
    "gates", data_ready >> load >> settle >> agreed >> publish, outputs={"text": publish["text"]}
)
