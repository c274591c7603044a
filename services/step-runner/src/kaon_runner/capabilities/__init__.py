"""The capabilities of this machine, as labels that workflows may require."""
