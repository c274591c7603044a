"""Steps: their attempts, the leases of the runners that hold them, retries, and what they gather before they are ready."""
