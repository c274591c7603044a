"""Step types: how a step of each kind becomes a process. Plug-ins by entry-point group `kaon.step_types`."""
