"""A small OIDC issuer for this machine: people without passwords. Never let it listen elsewhere."""
