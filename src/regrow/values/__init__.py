"""Plain values: ids, durations, back-off, options, files, secrets. Frozen, and without I/O at creation."""
