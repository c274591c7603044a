"""What a schedule starts when a report of sales is there: see announce.toml.

kaon register examples/events/announce.py
kaon schedule put examples/events/announce.toml
"""

import reporting

from kaon import Workflow, param, steps

day = param("day", "date")
text = param("text", str)
announce = steps.python("announce", reporting.announce, text=text, outputs={"told": str})

workflow = Workflow(
    "announce-sales", announce, parameters=[day], outputs={"told": announce["told"]}
)
