"""The engine: a pure decider that does no I/O and imports only the standard library and the wire contract.

`decide(state, message, context)` returns the events that follow from a message. `evolve(state, event)` folds
one event into the state. Replaying a run's events with `evolve` alone rebuilds the same state, byte for byte.
"""
