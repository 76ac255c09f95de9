"""What runs on the disk of test_power_cuts.py; started as a script, to work on it or to go on with what a cut left.

What the code was told is written to a file at once: a line for each thing that is durable by regrow's word.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path

import regrow
from regrow.authoring import home
from regrow.journal.sqlite import SqliteStore

PARTS = 3
LARGE = 70_000
"""Bytes of a result that becomes a blob."""


class Store(SqliteStore):
    """The store; but what comes every thousand pages, moving the write-ahead log into the database, comes often."""

    def __init__(self, home):
        super().__init__(home)
        self._writer.execute("PRAGMA wal_autocheckpoint=40")


class WithoutBlobSync(Store):
    """What comes of it if a blob is written like any other file."""

    def __init__(self, home):
        super().__init__(home)
        os.fsync = lambda handle: None


class WithoutFullSync(Store):
    """What most programs take for durable: SQLite's usual setting beside WAL. It syncs when the log is moved."""

    def __init__(self, home):
        super().__init__(home)
        self._writer.execute("PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=300")


STORES = {kind.__name__: kind for kind in (Store, WithoutBlobSync, WithoutFullSync)}


def tell(kind, run, path):
    """Write one line, in one go, of what has happened in a run."""
    handle = os.open(os.environ["TOLD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{json.dumps([kind, run, path])}\n".encode())
    os.close(handle)


def tell_here(kind):
    tell(kind, regrow.current().run, regrow.current().path)


def acknowledged(given):
    """Say that the code has this step's result."""
    path, result = given
    tell("acknowledged", regrow.current().run, path)
    return result


@regrow.step
async def note(label: str) -> tuple[str, str]:
    tell_here("executed")
    return regrow.current().path, label.upper()


@regrow.step
async def paint(label: str) -> tuple[str, bytes]:
    tell_here("executed")
    return regrow.current().path, picture(label)


def picture(label):
    """Give bytes that are no other label's, so that each is a blob of its own."""
    return hashlib.shake_128(label.encode()).digest(LARGE)


@regrow.step(once=True, reconcile=lambda label: regrow.Happened(f"{label} was paid"))
async def pay(label: str) -> str:
    tell_here("begun")
    return f"{label} was paid"


@regrow.task
async def branch(label: str) -> str:
    first = acknowledged(await note(f"{label} first"))
    await asyncio.sleep(0.001)
    drawn = acknowledged(await paint(label))
    return f"{first} {hashlib.sha256(drawn).hexdigest()}"


@regrow.task
async def agent(number: int) -> list[str]:
    plan = acknowledged(await note(f"{number} plan"))
    await regrow.sleep(0.003)
    found = await asyncio.gather(*(branch(f"{number}.{part}") for part in range(PARTS)))
    paid = await pay(f"{number}")
    drawn = acknowledged(await paint(f"{number}"))
    end = [acknowledged(await note(f"{number} line {line}")) for line in range(8)]
    return [plan, *found, paid, hashlib.sha256(drawn).hexdigest(), *end]


def expected(number):
    labels = [f"{number}.{part}" for part in range(PARTS)]
    return [
        f"{number} PLAN",
        *(f"{label} FIRST {hashlib.sha256(picture(label)).hexdigest()}" for label in labels),
        f"{number} was paid",
        hashlib.sha256(picture(f"{number}")).hexdigest(),
        *(f"{number} LINE {line}" for line in range(8)),
    ]


async def work(store, numbers):
    """Drive runs for as long as there are any: one by itself, then two at once, and so on."""
    while numbers:
        at_once, numbers = numbers[:1], numbers[1:]
        await _drive(store, at_once)
        at_once, numbers = numbers[:2], numbers[2:]
        await _drive(store, at_once)


async def _drive(store, numbers):
    handles = [await regrow.start(agent, number, key=f"{number}", store=store) for number in numbers]
    for handle in handles:
        await handle.result()
        tell("ended", handle.id, "")


def finish(store):
    """Go on with each run that is there, and print what it gave."""
    for row in store.runs():
        print(json.dumps([row.id, regrow.run(agent, int(row.key), key=row.key, store=store, strict=True)]), flush=True)


if __name__ == "__main__":
    kind, place, *numbers = sys.argv[1:]
    store = STORES[kind](Path(place))
    if numbers:
        asyncio.run(work(store, list(map(int, numbers))))
    else:
        finish(store)
    home.forget(home.host_of(store))
    store.close()
