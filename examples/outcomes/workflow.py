"""Outcomes: a step says that it is not needed, an exit code decides on retries, and later steps look at how others ended.

kaon run examples/outcomes/workflow.py              # nothing new: the download is skipped, and so is the conversion
kaon run examples/outcomes/workflow.py -p size=3
kaon run examples/outcomes/workflow.py -p size=13   # the conversion asks to be tried again, and then fails
"""

import downloads

from kaon import Retry, Workflow, param, steps

download = steps.python(
    "download", downloads.download, size=param("size", int, default=0), outputs={"size": int}
)
convert = steps.shell(
    "convert",
    # 75 is the usual code of what may succeed later, 3 is this program's word for "too small".
    argv=["sh", "-c", "test ${size} -lt 10 || exit 75; test ${size} -gt 2 || exit 3"],
    size=download["size"],
    skip_exit_codes=[3],
    retry=Retry(max_attempts=1, backoff="10ms", rules={75: 2}),
)
tell = steps.python(
    "tell",
    downloads.tell,
    download=download.status,
    why=download.error,
    convert=convert.status,
    code=convert.exit_code,
    outputs={"text": str},
)

workflow = Workflow(
    "outcomes",
    download >> convert.when_all_succeeded() >> tell.when_all_done(),
    outputs={"text": tell["text"]},
)
