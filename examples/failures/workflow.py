"""Failures: what does not depend on one goes on, one that does not matter is settled, and one is answered.

kaon run examples/failures/workflow.py                  # one region fails: the others and the archive go on
kaon run examples/failures/workflow.py -p broken=false
"""

import reports

from kaon import Workflow, each, param, steps

load = steps.python(
    "load", reports.load, broken=param("broken", bool, default=True), outputs={"regions": list}
)
weather = steps.python("weather", reports.weather, outputs={"weather": str})
region = each("region", load["regions"], max_concurrency=1)
report = steps.python(
    "report", reports.report, region=region, weather=weather["weather"], outputs={"text": str}
)
apologize = steps.python("apologize", reports.apologize)
archive = steps.python("archive", reports.archive)

all_reports = report**region
workflow = Workflow(
    "failures",
    ((load | weather.optional()) >> all_reports >> apologize.when_any_failed()) | (load >> archive),
    on_error="finish",
    outputs={"texts": report["text"]},
)
