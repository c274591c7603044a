"""A foreach with a cell that fails until it is mended, beside a step that waits for a signal, and a join."""

import steering

from kaon import Workflow, each, param, steps

start = steps.python("start", steering.start, note=param("note", str), outputs={"regions": list})
# One after the other: "eu" has succeeded when "us" fails.
region = each("region", start["regions"], max_concurrency=1)
work = steps.python(
    "work", steering.work, region=region, fixed=param("fixed", str), outputs={"result": str}
)
hold = steps.python("hold", steering.hold, outputs={"said": str})
join = steps.python(
    "join",
    steering.join,
    results=work["result"],
    said=hold["said"],
    greeting=param("greeting", str, default="hello"),
    outputs={"text": str},
)

workflow = Workflow(
    "steering", start >> work**region >> hold >> join, outputs={"text": join["text"]}
)
