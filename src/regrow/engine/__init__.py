"""The engine: what a run's records add up to, what follows from that, and the one place where it is carried out."""
