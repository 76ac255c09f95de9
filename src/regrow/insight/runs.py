"""Finding the run that somebody means by what they typed."""

from __future__ import annotations

import contextlib

from regrow.errors import Corrupted, UnknownRun
from regrow.journal.store import DEFAULT_PROJECT, DamagedRow, RunRow, Store

SHORTEST = 4
"""Characters of an id that a person must type at least."""
SHOWN = 8
"""Characters of an id that a list shows: its end, since the beginnings of runs of one hour are all alike."""
_LISTED = 5


def short(run: str) -> str:
    """Give the part of an id that is shown to people, and understood by `find_run`."""
    return run[-SHOWN:]


def find_run(store: Store, typed: str, project: str = DEFAULT_PROJECT) -> RunRow:
    """Find the run that somebody means.

    Args:
        store: where to look.
        typed: a whole id, the beginning or end of one (four characters or more), a key, ``@last`` for the newest run,
            or ``@failed`` for the newest one that failed.
        project: the one that it is looked for in.

    Raises:
        UnknownRun: there is none, or more than one; the message says what to type instead.
        Corrupted: what the list holds of the run is damaged. Other runs are found by id or key all the same.
    """
    if typed.startswith("@"):
        return _special(store, typed, project)
    row = store.by_key(project, typed)
    if row is not None:
        return row
    part = typed.strip().lower()
    with contextlib.suppress(UnknownRun):
        row = store.get(part)
        if row.project == project:
            return row
    if len(part) < SHORTEST:
        raise UnknownRun(typed, f"no run has the key {typed!r}, and an id needs at least {SHORTEST} of its characters")
    damaged: list[DamagedRow] = []
    matches = [row for row in store.runs(project=project, damaged=damaged) if _fits(part, row.id)]
    for one in damaged:
        if _fits(part, one.run):
            raise Corrupted(one.text)
    if len(matches) == 1:
        return matches[0]
    if matches:
        some = ", ".join(short(row.id) for row in matches[:_LISTED])
        more = f" and {len(matches) - _LISTED} more" if len(matches) > _LISTED else ""
        raise UnknownRun(typed, f"{typed!r} fits {len(matches)} runs: {some}{more}; type more of the id")
    raise UnknownRun(typed, f"no run in {_where(store, project)} has the id or key {typed!r}; `regrow ls` lists them")


def _special(store: Store, typed: str, project: str) -> RunRow:
    match typed:
        case "@last":
            found = next(iter(store.runs(limit=1, project=project)), None)
            missing = f"there is no run in {_where(store, project)} yet"
        case "@failed":
            found = next((row for row in store.runs(project=project) if row.outcome == "failed"), None)
            missing = f"no run in {_where(store, project)} has failed"
        case _:
            raise UnknownRun(typed, f"{typed!r} names no run; there are @last and @failed")
    if found is None:
        raise UnknownRun(typed, missing)
    return found


def _fits(part: str, run: str) -> bool:
    return run.startswith(part) or run.endswith(part) or short(run).startswith(part)


def _where(store: Store, project: str) -> str:
    return store.place if project == DEFAULT_PROJECT else f"project {project!r} of {store.place}"
