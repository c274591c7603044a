"""Scopes: starting, stopping, ending and rerunning their nodes, and the effect on the run."""
