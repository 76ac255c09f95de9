"""Faults that really happen to a worker process: a signal from outside, and an appetite that passes its limit.

Nothing is told to the executor. It sees a worker that was signalled, or one whose memory or disk ran out, and has to
find out by itself, as it would in production.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from regrow.authoring.context import current
from regrow.authoring.task import task
from regrow.codec import registry
from regrow.engine.branches import current_branch, start_apart
from regrow.engine.callee import Callee
from regrow.engine.host import Host
from regrow.engine.scope import Scope
from regrow.errors import UsageError
from regrow.executors.loading import code_of, load
from regrow.journal.records import BlobRef, Record, WorkerStarted

_LOOK_SECONDS = 0.02
_PIECE = 4 * 2**20
_PAUSE_SECONDS = 0.001
"""Between two pieces, so that an executor that looks now and then gets to see it."""
_BEYOND = 1.25
"""How far past its limit a worker reaches."""

_record = msgspec.msgpack.Decoder(Record)


@contextmanager
def signalled(scope: Scope, number: signal.Signals, after: float, note: Callable[[], None]) -> Iterator[None]:
    """Send a signal to the worker of an attempt that runs in the block.

    Args:
        scope: the attempt.
        number: the signal.
        after: how long after the worker has begun, in seconds.
        note: called once it was sent.
    """

    def strike(pid: int, over: threading.Event) -> None:
        if not over.wait(after):
            with contextlib.suppress(ProcessLookupError):  # it ended at this very moment: not struck
                os.kill(pid, number)
                note()

    with _beside(scope, strike):
        yield


@contextmanager
def _beside(scope: Scope, act: Callable[[int, threading.Event], None]) -> Iterator[None]:
    """Act on the worker of an attempt, in a thread, once there is one; the event says that the attempt is over."""
    over = threading.Event()

    def wait_and_act() -> None:
        pid = _pid_of_worker(scope, over)
        if pid is not None:
            act(pid, over)

    thread = threading.Thread(target=wait_and_act, name="regrow-testing-fault", daemon=True)
    start_apart(thread)
    try:
        yield
    finally:
        over.set()
        thread.join()


def _pid_of_worker(scope: Scope, over: threading.Event) -> int | None:
    host, driver = scope.driver.around, scope.driver
    assert isinstance(host, Host)  # noqa: S101 - faults stand in the driver's process
    begun = driver.log.state.seq
    while not over.wait(_LOOK_SECONDS):
        host.committer.flush()  # nobody waits for the record of a worker's start
        for stored in host.store.read(driver.run, after=begun):
            event = _record.decode(stored.body).event
            if isinstance(event, WorkerStarted) and (event.path, event.attempt) == (scope.path, scope.attempt):
                return event.pid
    return None


Burden = tuple[Literal["oom", "disk_full", "slow"], float]
"""What a worker has to bear before its work: bytes of memory, bytes of disk, or seconds."""


def burden(kind: Literal["oom", "disk_full"], scope: Scope) -> Burden:
    """Give more than an attempt may use.

    Raises:
        UsageError: the task declares no such limit.
    """
    has, option = scope.resources, "memory" if kind == "oom" else "disk"
    limit: int | None = getattr(has, option) if has is not None else None
    if limit is None:
        raise UsageError(f"{scope.path} has no limit to run into; declare one with {option}=")
    return kind, limit * _BEYOND


def loaded_down(
    burdens: list[Burden], callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Callee, tuple[Any, ...]]:
    """Give a body, and its arguments, that bears burdens before it does what another is there for.

    Where the executor holds a worker at its limit and gives it more, the body goes on: as it would in production.
    """
    code = code_of(callee)
    kept = scope.driver.keep((args, dict(kwargs)), callee.name)
    inputs: Any = (kept.value.digest, kept.value.size) if isinstance(kept.value, BlobRef) else kept.value
    stand_in: Any = burdened_async if callee.mode == "async" else burdened
    body = stand_in.callee.with_options(msgspec.structs.replace(callee.options, name=callee.name))
    return body, (burdens, (code.ref, code.module, code.file), inputs)


@task(isolate=True)
def burdened(burdens: list[tuple[str, float]], code: tuple[str, str, str], inputs: Any) -> Any:
    """Bear burdens, and then do what another synchronous task does."""
    _bear(burdens)
    callee, args, kwargs = _meant(code, inputs)
    return callee.function(*args, **kwargs)


@task(isolate=True)
async def burdened_async(burdens: list[tuple[str, float]], code: tuple[str, str, str], inputs: Any) -> Any:
    """Bear burdens, and then do what another asynchronous task does."""
    _bear(burdens)
    callee, args, kwargs = _meant(code, inputs)
    return await callee.function(*args, **kwargs)


def _bear(burdens: list[tuple[str, float]]) -> None:
    for kind, amount in burdens:
        match kind:
            case "oom":
                _use_memory(amount)
            case "disk_full":
                _use_disk(amount)
            case _:
                time.sleep(amount)


def _use_memory(amount: float) -> None:
    held: list[bytes] = []
    for _ in range(int(amount) // _PIECE + 1):
        held.append(b"x" * _PIECE)
        time.sleep(_PAUSE_SECONDS)
    time.sleep(_LOOK_SECONDS * 5)


def _use_disk(amount: float) -> None:
    place = (current().scratch or Path.cwd()) / "regrow-testing"
    with place.open("wb") as file:
        for _ in range(int(amount) // _PIECE + 1):
            file.write(b"x" * _PIECE)
            file.flush()
            time.sleep(_PAUSE_SECONDS)
    time.sleep(_LOOK_SECONDS * 5)


def _meant(code: tuple[str, str, str], inputs: Any) -> tuple[Callee, tuple[Any, ...], dict[str, Any]]:
    ref, module, file = code
    load(module, file)
    meant: Any = registry.references[ref]
    branch = current_branch()
    assert branch is not None  # noqa: S101 - it runs in a worker
    args, kwargs = branch.scope.driver.load(inputs if isinstance(inputs, bytes) else BlobRef(*inputs))
    return meant.callee, args, kwargs
