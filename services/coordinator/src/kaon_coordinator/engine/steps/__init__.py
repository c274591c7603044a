"""Steps: their attempts, leases, retries, and the preparation before they are READY."""
