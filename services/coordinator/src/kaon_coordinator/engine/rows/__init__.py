"""Rows: how a state is stored, restored, resumed by a new owner, snapshotted and shown."""
