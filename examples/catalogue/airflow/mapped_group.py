"""A group of steps for each item: Airflow's example_task_group.py, expanded as in its guide to mapped task groups."""

from __future__ import annotations

from kaon import Workflow, each, group, param, steps

word = each("word", param("words", list[str], default=["a", "bc"]))
start, end = (steps.shell(name, ["true"]) for name in ("start", "end"))
echo = steps.shell("task-1", ["echo", "${word}"], word=word, stdout="text", outputs={"text": str})
double = steps.shell(
    "task-2", ["echo", "${text}${text}"], text=echo["text"], stdout="text", outputs={"text": str}
)
beside = steps.shell("task-3", ["true"])
section = group(echo >> (double | group(beside, name="inner-section")), name="section")

workflow = Workflow(
    "example-task-group", start >> section**word >> end, outputs={"texts": double["text"]}
)

EXPECTED = {
    "outputs": {"texts": ["aa", "bcbc"]},
    "count": {"task-1": 2, "task-2": 2, "task-3": 2, "end": 1},
}
