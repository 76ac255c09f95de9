"""The raw limit of workers: forks of a process that has loaded the same modules, with nothing around them.

``python -m benchmarks.forks COUNT AT_ONCE`` prints, as JSON, for each fork the seconds until it ran and until it was
waited for. A process of its own, because a fork takes as long as its parent is large.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import struct
import sys
import time

from benchmarks.measure import REPOSITORY, process

Fork = tuple[float, float]


def raw_forks(count: int, *, at_once: int = 1, replaced: int = 0) -> list[Fork]:
    """Give for each of `count` forks the seconds until it ran, and until it was waited for.

    Args:
        count: how many.
        at_once: how many are forked before they are waited for.
        replaced: if not 0, each is begun by killing a process that has taken so many bytes, and waiting for its end.
    """
    printed = process("-m", "benchmarks.forks", str(count), str(at_once), str(replaced), folder=REPOSITORY)[1]
    return [(running, waited) for running, waited in json.loads(printed)]


def _fork(pipe: int) -> int:
    pid = os.fork()
    if pid == 0:
        os.write(pipe, struct.pack("<d", time.time()))
        os._exit(0)
    return pid


def _at_once(number: int) -> list[Fork]:
    reading, writing = os.pipe()
    called = time.time()
    for pid in [_fork(writing) for _ in range(number)]:
        os.waitpid(pid, 0)
    waited = time.time() - called
    ran = [moment for (moment,) in struct.iter_unpack("<d", os.read(reading, 8 * number))]
    os.close(reading)
    os.close(writing)
    return [(moment - called, waited) for moment in ran]


def _replacing(size: int) -> list[Fork]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        taken = b"\1" * size
        os.write(writing, b"1")
        time.sleep(60)
        os._exit(len(taken) % 2)
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    killed = time.time()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    gone = time.time() - killed
    return [(gone + ran, gone + waited) for ran, waited in _at_once(1)]


def main() -> None:
    """Fork, and print how long that took."""
    count, number, replaced = (int(argument) for argument in sys.argv[1:])
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as a fork server has it
    importlib.import_module("benchmarks.worker_agents")
    gc.collect()
    gc.freeze()
    found: list[Fork] = []
    while len(found) < count:
        found += _replacing(replaced) if replaced else _at_once(number)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
