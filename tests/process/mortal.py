"""Tasks that die, each of one thing. `test_deaths` runs them in real workers, which load this file by its path."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

import regrow

MIB = 2**20
LIMIT = 64 * MIB
CHUNK = 2 * MIB
PAUSE = 0.01
"""Between two chunks: 200 MB/s, so that whoever looks every 20 ms sees it coming."""


class Rich(Exception):
    """Its arguments are not those of its constructor."""

    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint


def wait_for(file: str) -> None:
    while not Path(file).exists():
        time.sleep(0.005)


def tell(file: str, number: int) -> None:
    """Write a number into a file, which is there only when it is whole."""
    arriving = Path(f"{file}.arriving")
    arriving.write_text(str(number))
    arriving.rename(file)


def take(size: int) -> int:
    """Take memory by and by, and give how many bytes it came to be."""
    held = []
    for _ in range(size // CHUNK):
        held.append(b"\x07" * CHUNK)
        time.sleep(PAUSE)
    return CHUNK * len(held)


# -- that live


@regrow.task(isolate=True)
def neighbour(begun: str, until: str) -> tuple[int, int]:
    """Hold some memory, and say at the end who held it and whether it is still what it was."""
    held = bytearray(b"\x07" * (4 * MIB))
    tell(begun, os.getpid())
    wait_for(until)
    return os.getpid(), sum(held) // 7


@regrow.task(isolate=True)
def pid_of_worker() -> int:
    return os.getpid()


# -- of memory


@regrow.task(memory=LIMIT)
def takes_at_once(size: int) -> int:
    return len(bytearray(size))


@regrow.task(memory=LIMIT)
def takes_slowly(size: int) -> int:
    return take(size)


@regrow.task(isolate=True)
def takes_slowly_without_a_limit(size: int) -> int:
    return take(size)


@regrow.task(memory=LIMIT)
def takes_in_numpy(size: int) -> float:
    held = np.ones(size // 8)
    time.sleep(0.5)
    return float(held.sum())


@regrow.task(memory=LIMIT)
def takes_shared(size: int) -> int:
    shared = mmap.mmap(-1, size)
    for at in range(0, size, CHUNK):
        shared[at : at + CHUNK] = b"\x07" * CHUNK
        time.sleep(PAUSE)
    return len(shared)


_GRANDCHILD = """
import subprocess, sys, time
if sys.argv[1] == "child":
    sys.exit(subprocess.call([sys.executable, "-c", sys.argv[3], "grandchild", *sys.argv[2:]]) and 1)
held = []
for _ in range(int(sys.argv[2]) // (2 << 20)):
    held.append(b"\\x07" * (2 << 20))
    time.sleep(0.01)
"""


@regrow.task(memory=LIMIT)
def takes_in_a_grandchild(size: int) -> None:
    subprocess.run([sys.executable, "-c", _GRANDCHILD, "child", str(size), _GRANDCHILD], check=True)


@regrow.task(isolate=True)
def asks_for_more_than_there_is() -> int:
    return len([0] * 2**60)


@regrow.task(memory=LIMIT)
def says_that_memory_is_out() -> None:
    raise MemoryError("so says the code")


@regrow.task(memory=LIMIT, on_oom=regrow.grow(4))
def reads_a_file_past_the_limit(file: str) -> int:
    return len(Path(file).read_bytes())


# -- of time


@regrow.task(timeout=0.2)
def spins() -> None:
    while True:
        pass


@regrow.task(timeout=0.2)
def spins_deaf_to_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass


@regrow.task(timeout=0.2)
def hangs_in_c_with_the_interpreter_locked() -> None:
    ctypes.PyDLL(None).sleep(1000)


@regrow.task(timeout=0.2)
def cleans_up_when_its_time_is_over(file: str) -> None:
    try:
        time.sleep(1000)
    finally:
        Path(file).touch()


# -- by its own hand


@regrow.task(isolate=True)
def leaves(code: int) -> None:
    os._exit(code)


@regrow.task(isolate=True)
def exits(how: str) -> None:
    match how:
        case "nothing":
            sys.exit()
        case "number":
            sys.exit(3)
        case _:
            sys.exit(how)


@regrow.task(isolate=True)
def follows_a_null_pointer() -> bytes:
    return ctypes.string_at(0)


@regrow.task(isolate=True)
def aborts() -> None:
    os.abort()


# -- by another's


@regrow.task(isolate=True, on_preempted=regrow.resume(0))
def waits(begun: str) -> None:
    tell(begun, os.getpid())
    time.sleep(1000)


@regrow.task(memory=LIMIT, on_preempted=regrow.resume(0))
def waits_large(begun: str) -> int:
    held = b"\x07" * (LIMIT * 7 // 8)
    tell(begun, os.getpid())
    time.sleep(1000)
    return len(held)


@regrow.task(isolate=True)
def waits_once(begun: str) -> int:
    if regrow.current().attempt == 1:
        tell(begun, os.getpid())
        time.sleep(1000)
    return regrow.current().attempt


@regrow.task(isolate=True)
def saves_when_preempted(begun: str) -> tuple[int, int]:
    done: int = regrow.checkpoint().load(0)
    if done:
        return regrow.current().attempt, done
    try:
        while True:
            done += 1
            time.sleep(0.001)
            if done == 20:
                tell(begun, os.getpid())
    except regrow.Preempted:
        regrow.checkpoint().save(done)
        raise


@regrow.task(isolate=True)
async def saves_when_cancelled(begun: str) -> tuple[int, int]:
    done: int = regrow.checkpoint().load(0)
    if done:
        return regrow.current().attempt, done
    try:
        while True:
            done += 1
            await asyncio.sleep(0.001)
            if done == 20:
                tell(begun, os.getpid())
    except asyncio.CancelledError:
        regrow.checkpoint().save(done)
        raise


@regrow.task(isolate=True, on_preempted=regrow.resume(0))
def loses_its_server() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)


# -- of room


@regrow.task(disk="8Mi")
def fills_the_disk_with_one_file(size: int) -> None:
    with (scratch() / "big").open("wb") as file:
        for _ in range(size // MIB):
            file.write(b"\x07" * MIB)


@regrow.task(disk="8Mi")
def fills_the_disk_with_many_files(size: int) -> None:
    for number in range(size // (64 * 1024)):
        (scratch() / str(number)).write_bytes(b"\x07" * 64 * 1024)
        time.sleep(0.001)


def scratch() -> Path:
    place = regrow.current().scratch
    assert place is not None
    return place


@regrow.task(isolate=True)
def writes_to_a_full_disk() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"\x07")


@regrow.task(isolate=True)
def prints(size: int) -> None:
    line = b"x" * 1023 + b"\n"
    for _ in range(size // len(line)):
        os.write(1, line)


# -- of company


@regrow.task(isolate=True)
def forks(count: int, pids: str) -> None:
    began = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            time.sleep(1000)
            os._exit(0)
        began.append(pid)
        Path(pids).write_text(" ".join(map(str, began)))
    time.sleep(1000)


@regrow.task(isolate=True)
def leaves_a_thread_running() -> int:
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return os.getpid()


@regrow.task(isolate=True)
def leaves_daemons(first: str, second: str) -> None:
    """Leave two, one of which is the other's child; each leads a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            tell(first, os.getpid())
            if os.fork() == 0:
                os.setsid()
                tell(second, os.getpid())
            time.sleep(1000)
        os._exit(0)
    os.wait()
    wait_for(first)
    wait_for(second)


# -- of what it says


@regrow.task(isolate=True)
def gives_a_lock() -> object:
    return {"held": threading.Lock()}


@regrow.task(isolate=True)
def raises_a_rich_exception() -> None:
    try:
        int("seven")
    except ValueError as problem:
        error = Rich(7, hint="eight")
        error.add_note("a note of the worker's")
        raise error from problem
