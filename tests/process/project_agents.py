"""What the drivers of test_projects.py run, each in a process of its own; started as a script."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import regrow
from regrow.authoring import home
from regrow.journal.sqlite import SqliteStore

KEYS = 6
UNWANTED = "key-2"
"""The key whose run is cancelled, in one of the projects."""
SHARED = b"the same in every project" * 4000
"""Large enough to be a blob; there is only one of it."""


def tell(*line):
    handle = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{json.dumps(line)}\n".encode())
    os.close(handle)


@regrow.step
async def note(label: str) -> str:
    tell(sys.argv[1], label)
    await asyncio.sleep(0.002)
    return f"{sys.argv[1]}: {label}"


@regrow.step
async def paint(label: str) -> bytes:
    tell(sys.argv[1], f"{label} picture")
    return picture(sys.argv[1], label)


@regrow.task
async def agent(key: str) -> tuple[list[str], bytes]:
    notes = [await note(f"{key} {number}") for number in range(4)]
    if key == UNWANTED:
        Path(f"waiting-{sys.argv[1]}").touch()
        while not Path("go").exists():  # noqa: ASYNC110 - told by another process
            await asyncio.sleep(0.005)
    notes += await asyncio.gather(*(note(f"{key} branch {number}") for number in range(3)))
    return notes, await paint(key)


def picture(project, key):
    """Give what is one blob for all runs of both projects, but for one of each."""
    return f"of {project} alone".encode() * 4000 if key == "key-0" else SHARED


def expected(project, key):
    labels = [*(f"{key} {number}" for number in range(4)), *(f"{key} branch {number}" for number in range(3))]
    return [f"{project}: {label}" for label in labels], picture(project, key)


def drive(project, place, kept_in):
    """Drive each key of a project to its end, beside whoever else does; print what each came to."""
    store = SqliteStore(place)
    left = [f"key-{number}" for number in range(KEYS)]
    found = {}
    while left:
        key = left.pop(0)
        try:
            result = regrow.run(agent, key, key=key, store=store, project=kept_in)
            found[key] = "as expected" if result == expected(project, key) else repr(result)[:200]
        except regrow.RunCancelled:
            found[key] = "cancelled"
        except regrow.RunHeld:
            left.append(key)
            time.sleep(0.005)
    print(json.dumps(found))
    home.forget(home.host_of(store))
    store.close()


if __name__ == "__main__":
    drive(*sys.argv[1:])
