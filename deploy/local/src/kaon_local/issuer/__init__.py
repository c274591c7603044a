"""A small OIDC issuer for this machine: people without passwords. Never let others than trusted services reach it."""
