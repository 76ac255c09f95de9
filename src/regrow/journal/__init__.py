"""The journal: what a run did, in the order in which it did it, and the places where that is kept."""
