"""A step for each of a list of objects, at most two at once: Argo's loops-maps.yaml."""

from __future__ import annotations

from kaon import Workflow, each, param, steps

systems = param(
    "systems", list, default=[{"image": "debian", "tag": "13"}, {"image": "alpine", "tag": "3.22"}]
)
system = each("system", systems, max_concurrency=2)
show = steps.shell(
    "cat-os-release",
    ["echo", "${image} ${tag}"],
    image=system["image"],
    tag=system["tag"],
    stdout="text",
    outputs={"text": str},
)

workflow = Workflow("loops-maps", show**system, outputs={"texts": show["text"]})

EXPECTED = {"outputs": {"texts": ["debian 13", "alpine 3.22"]}}
