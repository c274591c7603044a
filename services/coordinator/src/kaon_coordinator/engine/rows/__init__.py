"""Rows: how a state is stored and read back, what its new owner does, when it is kept whole, and how it is shown."""
