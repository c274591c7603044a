"""The command line, `kaon`."""
