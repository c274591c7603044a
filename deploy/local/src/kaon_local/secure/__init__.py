"""A closed system on this machine: certificates, keys, an issuer, tenants and their tokens."""
