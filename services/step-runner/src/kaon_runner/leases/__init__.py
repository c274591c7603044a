"""Which leases the runner holds, and what they occupy."""
