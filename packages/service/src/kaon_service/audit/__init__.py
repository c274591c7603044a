"""The audit log: who changed, or was refused, what; each row holds the hash of the one before."""
