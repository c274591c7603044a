"""The shell around the engine: owns partitions and pools, makes batches durable, and lets out only what follows from them."""
