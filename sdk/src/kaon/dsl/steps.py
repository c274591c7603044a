"""Makes steps: one function for each step type, and `step` for the types of plug-ins.

Every function takes the step's name first, its inputs as further keyword arguments (or in `inputs=` where a name is taken), and:

    outputs         what the step must produce, by name: a Python type for a value (int, list, ...), a word
                    for an artifact ("dataset", "model", "metrics", "plot", "table", "text", "file")
    retry           Retry(...), or the number of attempts in all
    timeout         how long one attempt may run: "10m", seconds, or a timedelta
    total_timeout   how long the step may take in all, with its waits and attempts
    deadline        after this it counts as late in the history, and goes on
    pool, labels    where it runs: a pool's name; expressions over runners' labels such as "spark=4.3" or "gpu!=none"
    resources       Resources(...): what it occupies meanwhile
    priority        higher goes first
    isolation       "warm" (shares a worker process with earlier steps) or "process" (one of its own)
    tags            words that count against the tenant's permits (`kaon permits`)
    produces        dataset("ratings", partition=day), or several: what its success updates, on which schedules start runs
    memo            True or Memo(...): takes the outputs of an earlier, equal execution; artifacts count by content and name
    exclusive       True: an attempt begins only when no earlier one can be running any more
    serves          True: it serves those after it, which begin when it says so (`context.serving`), and is stopped after the last
    requirements    a requirements file, from which runners build the step's environment once
    config          further settings of the step type, such as {"driver": "classic"} for spark

Inputs are JSON values, outputs of other steps (`wrangle["users"]`), items, parameters, `last(...)`, `expr(...)`, or lists of these.
Files are named relative to the directory of the file that makes the Workflow, and travel in the code bundle.
Mistakes raise WorkflowError with the file and line of the call.
"""

from kaon.dsl.stepfunctions import docker, hive, publish, python, r, scala, shell, spark, step

__all__ = ["docker", "hive", "publish", "python", "r", "scala", "shell", "spark", "step"]
