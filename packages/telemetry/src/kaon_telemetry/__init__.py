"""What Kaon's services tell about themselves: metrics, traces, logs."""
