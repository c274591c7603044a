"""The shell around the engine: owns partitions and pools, makes batches durable, and then releases their effects."""
