"""What the coordinator asks of its store, a protocol for each noun: whoever uses the store asks for the smallest that it needs."""
