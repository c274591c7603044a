"""The state of a run: its parts, their transitions, its changes by events, and the values of its bindings."""
