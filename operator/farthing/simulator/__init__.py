"""The same cycle on a virtual clock: an in-memory world with the API server's semantics where they matter, and its faults."""
