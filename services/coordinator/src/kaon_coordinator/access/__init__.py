"""Tokens and tenants as the store keeps them."""
