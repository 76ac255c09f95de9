"""Which memories a fork of a run means: its own, which begin as they were at the moment of its beginning.

What was read before the fork stays what it was: a recorded read names the memory that it was really made from.
"""

from __future__ import annotations

from regrow.journal.records import RunForked


def own_memory(forked: RunForked | None, run: str, name: str) -> str:
    """Give the memory that a run's code means by a name: in a fork, its own."""
    return name if forked is None else f"{name}~{run[-8:]}"


def bases_of(forked: RunForked | None, name: str) -> list[tuple[str, float]]:
    """Give what a fork's own memory may begin as, the nearest first: each memory, and as of which moment."""
    if forked is None:
        return []
    *forks, (_, moment) = forked.lineage
    return [*((own_memory(forked, run, name), until) for run, until in forks), (name, moment)]
