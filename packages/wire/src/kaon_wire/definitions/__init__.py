"""What a workflow definition may be: checked by whoever writes one, and before one is registered."""
