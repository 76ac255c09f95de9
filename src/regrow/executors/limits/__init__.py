"""What holds a worker to its limits, layer by layer, and what can be read of it."""
