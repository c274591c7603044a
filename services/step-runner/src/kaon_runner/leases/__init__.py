"""The runner's leases and the amounts that they occupy."""
