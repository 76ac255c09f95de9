"""What is run while a system call of its store is cut or fails: one agent, as a script or through the command line.

`ledger` in the working directory has a line for each body that was executed, and one for each result that the code was
given. It is one file, so that its order says which came first; no clock is asked.

STRIKE_THREAD and STRIKE ask for the fault, by the name of a thread and in the words of strace's `--inject`. Strace
counts the calls of each thread for itself, and the store is written to by two: the loop's, and the committer's when
many strands are at work. So strace is attached to one of them, and all of its calls count from where it is attached:
in the main thread before the store is opened. That a whole process can be run under strace was of no use: with one
count for both, the committer's n-th call is never reached, because the main thread's is earlier.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import regrow
from regrow.journal.blobs import FileBlobs
from regrow.journal.sqlite import SqliteStore

_PR_SET_PTRACER = 0x59616D61
_ANYBODY = ctypes.c_ulong(-1)
NOT_ATTACHED = 70
"""The exit code if strace may not attach."""


# -- the fault ---------------------------------------------------------------------------------------------------------


def attach_strace(fault):
    """Let strace inject a fault into this thread, and go on once it does."""
    with contextlib.suppress(OSError, AttributeError):  # Yama, where there is one, lets nobody trace its own parent
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)
    thread = str(threading.get_native_id())
    seen = Path(f"strace-{thread}")
    calls = f"{fault.partition(':')[0]},getppid"
    strace = subprocess.Popen(
        ["strace", "-qq", "-p", thread, "-e", f"trace={calls}", "-e", f"inject={fault}", "-o", seen],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while not seen.exists() or not seen.stat().st_size:
        if strace.poll() is not None:
            os._exit(NOT_ATTACHED)
        os.getppid()
        time.sleep(0.001)


def attach_as_asked():
    """Attach strace to the thread that STRIKE_THREAD names, now or when it begins."""
    thread, fault = os.environ.get("STRIKE_THREAD"), os.environ.get("STRIKE", "")
    if thread == threading.main_thread().name:
        attach_strace(fault)
    elif thread:
        run = threading.Thread.run

        def struck(self):
            if self.name == thread:
                attach_strace(fault)
            run(self)

        threading.Thread.run = struck


# -- the agent ---------------------------------------------------------------------------------------------------------


def write_line(line):
    """Append a line in one go: a kill leaves all of it or nothing."""
    handle = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{json.dumps(line)}\n".encode())
    os.close(handle)


def executed(label):
    here = regrow.current()
    write_line([time.time(), here.run, here.path, here.idempotency_key, label])


def given(label):
    """Say that the code has the result of what goes by this label: from here on it is acknowledged."""
    write_line(label)


@regrow.step
async def tell(label: str) -> str:
    executed(label)
    return label.upper()


@regrow.step
async def draw(label: str) -> bytes:
    executed(label)
    return label.encode() * 100_000


@regrow.step(retries=1, backoff=regrow.Backoff(0.001))
async def stumble(label: str) -> int:
    executed(label)
    if regrow.current().attempt == 1:
        raise ConnectionError("the first attempt fails")
    return regrow.current().attempt


@regrow.step
async def linger(label: str) -> None:
    """Wait until the file `go` is there, if the file `wait` is."""
    executed(label)
    while Path("wait").exists() and not Path("go").exists():  # noqa: ASYNC110 - another process makes the file
        await asyncio.sleep(0.01)


@regrow.task
async def part(label: str) -> list[str]:
    found = []
    for number in range(2):
        found.append(await tell(f"{label}{number}"))
        given(f"{label}{number}")
    return found


@regrow.task
async def agent() -> str:
    first = await tell("first")
    given("first")
    attempts = await stumble("stumble")
    given("stumble")
    parts = await asyncio.gather(*(part(label) for label in "xyz"))
    picture = await draw("picture")
    given("picture")
    await linger("linger")
    given("linger")
    last = await tell("last")
    given("last")
    return f"{first} {attempts} {parts} {len(picture)} {last}"


# -- stores that break a promise, for the controls ---------------------------------------------------------------------


class Hasty(SqliteStore):
    """Acknowledges each batch before it is appended, which is when the next one comes."""

    def __init__(self, home):
        super().__init__(home)
        self._later = []

    def append(self, entries):
        now, self._later = self._later, list(entries)
        if any(entry.outcome for entry in entries):
            now, self._later = now + self._later, []
        return super().append(now) if now else frozenset()


class LateBlobs(FileBlobs):
    """Keeps no blob before it is told to."""

    def __init__(self, folder):
        super().__init__(folder)
        self._later = []

    def put(self, data):
        self._later.append(data)
        return hashlib.sha256(data).hexdigest()

    def keep(self):
        while self._later:
            super().put(self._later.pop())


class Late(SqliteStore):
    """Writes a blob after the record that names it."""

    def __init__(self, home):
        super().__init__(home)
        self.blobs = LateBlobs(self.blobs.folder)

    def append(self, entries):
        fenced = super().append(entries)
        self.blobs.keep()
        return fenced


class Deaf(SqliteStore):
    """Acknowledges what it could not append."""

    def append(self, entries):
        with contextlib.suppress(regrow.StoreUnavailable):
            return super().append(entries)
        return frozenset()


STORES = {"sound": SqliteStore, "hasty": Hasty, "late": Late, "deaf": Deaf}


attach_as_asked()
if __name__ == "__main__":
    print(regrow.run(agent, key="struck", store=STORES[sys.argv[1]]("home")))
