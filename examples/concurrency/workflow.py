"""Which runs and which parts of them are active at once: a submit strategy, mutexes by key, and a semaphore.

kaon submit examples/concurrency/workflow.py                     # twice: the second run waits
kaon why RUN                                                     # ... and says for which one
"""

import loading

from kaon import Workflow, each, group, mutex, param, semaphore, steps

regions = param("regions", list, default=["EU", "US", "APAC"])
region = each("region", regions)

fetch = steps.python(
    "fetch",
    loading.fetch,
    region=region,
    outputs={"rows": int},
    # At most two at once read from the source, over all runs of the tenant.
    locks=[semaphore("source", 2)],
)
store = steps.python("store", loading.store, rows=fetch["rows"], outputs={"stored": int})
# From fetching to storing nobody else works on the same region, whichever workflow that is. Inner locks come after outer
# ones in the order of their names: "region" before "source".
one_region = group(fetch >> store, name="one-region", locks=[mutex("region", key=region)])

workflow = Workflow(
    "load-regions",
    one_region**region,
    outputs={"stored": store["stored"]},
    # One run after the other, in the order of their submission; a failure holds up the later ones until it was mended.
    strategy="strict-sequential",
)
