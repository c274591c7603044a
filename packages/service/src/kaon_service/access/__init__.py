"""Who calls, and what they may do: one table for every method of every service."""
