"""What this machine is and can execute, as labels that workflows may ask for."""
