"""The whole system on a simulated clock, a hostile network and a hostile store: one seed, one run. See docs/simulation.md."""
