"""The engine: a pure decider. It imports the standard library and the wire contract only, and does no I/O.

`decide(state, message, context)` gives the events that follow from a message, `evolve(state, event)` folds one event into the
state, and replaying a run's events with `evolve` alone gives the same state, byte for byte.
"""
