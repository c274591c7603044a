"""What people ask of a run, one file for each command, and how a run begins and goes on."""
