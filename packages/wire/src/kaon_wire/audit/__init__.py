"""The audit log as it travels: rows, their chain, and its verification."""
