"""Programs that run inside a step's own process: each drives one engine for one step, and leaves nothing behind there."""
