"""What users write: tasks, steps, runs, and the few things that code inside a run may ask for."""
