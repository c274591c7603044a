"""Values of steps: what they declare, and what they have given."""
