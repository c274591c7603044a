"""The state of a run: what its parts are and may become, how events change it, and what bindings find in it."""
