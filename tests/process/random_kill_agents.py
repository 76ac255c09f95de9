"""What the drivers of test_random_kills.py run, each in a process of its own; started as a script.

Whatever really happens is written down outside of the journal, in the working directory: `ledger` has a line for each
effect, `book` is that of a service that honours idempotency keys, `workers` has a file for each worker in its task,
`results` one for each run that gave a result.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import random
import sys
import time
from pathlib import Path

import regrow

EPOCHS = 5
PARTS = ("a", "b")


def write_line(name, line):
    """Append a line in one go: a kill leaves all of it or nothing."""
    handle = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{json.dumps(line)}\n".encode())
    os.close(handle)


def effect(label):
    here = regrow.current()
    write_line("ledger", [time.time(), here.run, here.path, here.idempotency_key, label])


def ask_service(key):
    """Do what is asked unless it was done for this key before; give the receipt of the one time."""
    with Path("book").open("a+") as book:
        fcntl.flock(book, fcntl.LOCK_EX)
        book.seek(0)
        receipts = dict(map(json.loads, book))
        if key not in receipts:
            receipts[key] = os.urandom(4).hex()
            write_line("book", [key, receipts[key]])
        return receipts[key]


def born(pid):
    """Give when a process began, in ticks since the machine did; None if it is no more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


@contextlib.contextmanager
def seen_as_worker(call):
    """Say that a worker is in this call, and look whether another one still is.

    The own file is there before the others are looked for, so of two that overlap at least one sees it.
    """
    folder = Path("workers", call)
    folder.mkdir(parents=True, exist_ok=True)
    mine = folder / f"{os.getpid()}-{born(os.getpid())}"
    mine.touch()
    for other in folder.iterdir():
        pid, _, start = other.name.partition("-")
        if other != mine and born(pid) == int(start) and other.exists():
            write_line("overlaps", [call, int(pid), os.getpid()])
    try:
        yield
    finally:
        mine.unlink()


@regrow.step
async def tell(label: str) -> str:
    effect(label)
    await asyncio.sleep(0.05)
    return label.upper()


@regrow.step
async def charge(label: str) -> str:
    effect(label)
    return ask_service(regrow.current().idempotency_key)


@regrow.step
def measure(label: str) -> int:
    effect(label)
    time.sleep(0.02)
    return len(label)


@regrow.task(memory="256Mi", on_preempted=regrow.resume(10_000))
def train(name: str) -> int:
    with seen_as_worker(regrow.current().idempotency_key):
        progress = regrow.checkpoint()
        done = progress.load([])
        for epoch in range(len(done) + 1, EPOCHS + 1):
            time.sleep(0.02)
            done.append(measure(f"{name}{epoch}"))
            progress.save(done)
        return sum(done)


@regrow.task
async def agent(number: int) -> tuple[str, int, str]:
    plan = await tell(f"{number} plan")
    found = await asyncio.gather(*(train.aio(f"{number} {part}") for part in PARTS))
    receipt = await charge(f"{number} charge")
    await tell(f"{number} report")
    return plan, sum(found), receipt


def expected_labels(number):
    epochs = [f"{number} {part}{epoch}" for part in PARTS for epoch in range(1, EPOCHS + 1)]
    return {f"{number} plan", *epochs, f"{number} charge", f"{number} report"}


def expected_result(number, receipt):
    measured = sum(len(f"{number} {part}{epoch}") for part in PARTS for epoch in range(1, EPOCHS + 1))
    return [f"{number} PLAN", measured, receipt]


def drive_all(dice):
    """Take up whatever run is there for the taking, until all that are wanted have their result."""
    while True:
        finishing = Path("finish").exists()
        left = [
            number for number in range(int(Path("wanted").read_text())) if not Path("results", str(number)).exists()
        ]
        if finishing and not left:
            return
        dice.shuffle(left)
        for number in left:
            try:
                result = regrow.run(agent, number, key=f"run-{number}", strict=True)
            except regrow.RunHeld:
                continue
            arriving = Path("results", f".{number}-{os.getpid()}")
            arriving.write_text(json.dumps(result))
            arriving.rename(Path("results", str(number)))
        time.sleep(0.02)


if __name__ == "__main__":
    drive_all(random.Random(int(sys.argv[1])))
