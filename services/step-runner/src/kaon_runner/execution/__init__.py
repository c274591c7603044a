"""One lease from its start to its report."""
