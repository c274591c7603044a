"""One workflow for each engine, with a step that never ends by itself."""

from __future__ import annotations

import endless

from kaon import Workflow, steps

OUT = {"out": int}
# No join: Spark 4.3's tasks can crash the JVM when they are killed while they read a product's spilled rows.
SQL = "SELECT sum(hash(id) % 7) AS total FROM range(0, 10000000000000)"

FLOWS = {
    "hive": Workflow("endless-hive", steps.hive("only", SQL, outputs={"rows": int})),
    "spark": Workflow("endless-spark", steps.spark("only", endless.count_forever, outputs=OUT)),
    "r": Workflow("endless-r", steps.r("only", "r/sleep.R", outputs=OUT)),
    "scala": Workflow("endless-scala", steps.scala("only", "scala/Sleep.scala", outputs=OUT)),
}


def docker_flow(image: str) -> Workflow:
    """The image is known only when the test runs."""
    return Workflow(
        "endless-docker", steps.docker("only", image, argv=["sleep", "1000"], outputs=OUT)
    )
