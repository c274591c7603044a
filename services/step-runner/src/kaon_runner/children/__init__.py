"""Programs that run inside a step's own process.

Each one drives one engine for one step and leaves nothing behind in it.
"""
