"""A loop that may run not even once: pages are loaded as long as some are left.

kaon run examples/polling/workflow.py
kaon run examples/polling/workflow.py -p pages=0
"""

import paging

from kaon import Workflow, expr, last, param, steps, while_

count = steps.python(
    "count", paging.count, pages=param("pages", int, default=3), outputs={"left": int}
)
load = steps.python(
    "load", paging.load, left=last("load.left", count["left"]), outputs={"left": int}
)
report = steps.python("report", paging.report, left=load["left"], outputs={"text": str})

pages = while_(
    expr("left > 0", left=last("load.left", count["left"])), load, max_iterations=20, name="pages"
)
workflow = Workflow("polling", count >> pages >> report, outputs={"text": report["text"]})
