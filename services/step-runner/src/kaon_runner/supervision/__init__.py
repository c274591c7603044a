"""The supervisor of one child: a small process that outlives the runner and leaves nothing of the child alive.

`groups.py` and `supervisor.py` run without site-packages (`python -S -E supervisor.py`), so they import only
the standard library.
"""
