"""The engine's surroundings inside a worker: the same seams as in the driver's process, over the channel.

A worker runs the very engine that its driver runs, calls, matching, turns and all, on what is recorded of its own part
of the run. Only the ends differ: its log appends to its own picture of the run, and its committer hands the event to
the driver, which alone writes the journal.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn, cast

import msgspec

from regrow.codec import rebuild
from regrow.engine.callee import Callee
from regrow.engine.committer import LoopTicket, ThreadTicket, Ticket, settle_on_loop
from regrow.engine.decide import mark
from regrow.engine.desk import Desk
from regrow.engine.scope import Scope
from regrow.engine.state import RunState
from regrow.engine.vault import Kept
from regrow.errors import RegrowError, StoreUnavailable, UsageError
from regrow.executors.channel import ChannelClosed, SocketChannel
from regrow.executors.inline import InlineExecutor
from regrow.executors.jobs import job_of
from regrow.executors.messages import (
    Ack,
    Append,
    Blob,
    GetBlob,
    Hold,
    Logged,
    NewLimit,
    PutBlob,
    ReleaseBlobs,
    Request,
    Response,
    Spawn,
    Spawned,
    Start,
    Stop,
    ToWorker,
    Withdraw,
)
from regrow.executors.services import OFFERED, stand_in
from regrow.executors.shield import Shield
from regrow.executors.tracebacks import give_traceback
from regrow.journal.cache import SharedCache
from regrow.journal.memories import Memories
from regrow.journal.records import Event, Record, RunEnded
from regrow.journal.signals import Signals
from regrow.journal.store import LogLine, SizeSeen

FORKED = (
    "a recorded call was made in a process that a task has forked (multiprocessing, ProcessPoolExecutor, os.fork); "
    "recorded calls are made in the task's own process: do there what is recorded, or make it a task of its own"
)


class Line:
    """The channel, with answers handed to whoever asked."""

    def __init__(self, channel: SocketChannel, on_stop: Callable[[Stop], None], shield: Shield) -> None:
        """Speak over a channel whose first message has been read.

        Args:
            channel: the channel.
            on_stop: called in the reading thread when the driver wants an end.
            shield: keeps a signal's exception from cutting a message in two.
        """
        self._pid = os.getpid()
        self._shield = shield
        self._channel = channel
        self._on_stop = on_stop
        self.on_hold: Callable[[], None] | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, Callable[[Any], None]] = {}
        self._said_all = False
        self._hung_up = threading.Event()
        self.memory: int | None = None
        """The memory limit, once it was raised."""

    @property
    def is_ours(self) -> bool:
        """Whether this is the worker itself. A process that it has forked has a copy of its end, and must be silent."""
        return os.getpid() == self._pid

    def listen(self) -> None:
        """Begin to read, in a thread of its own."""
        threading.Thread(target=self._listen, name="regrow-channel", daemon=True).start()

    def tell(self, message: msgspec.Struct) -> None:
        """Send what nobody answers. Without a driver there is nothing to go on for."""
        if not self.is_ours:
            raise UsageError(FORKED)
        try:
            with self._shield:
                self._channel.send(message)
        except ChannelClosed:
            _die()

    def tell_at_last(self, message: msgspec.Struct) -> None:
        """Send the last message, and wait until the driver has hung up.

        An end that is closed before, with an answer unread or on its way, breaks the channel for the other one as well,
        and what we had said last would be lost with it.
        """
        self._said_all = True
        self.tell(message)
        self._hung_up.wait()

    def ask(self, make: Callable[[int], msgspec.Struct], answered: Callable[[Any], None]) -> int:
        """Send what is answered under a number of its own; `answered` is called in the reading thread."""
        number = next(self._numbers)
        self._asked[number] = answered
        self.tell(make(number))
        return number

    def ask_and_wait(
        self, make: Callable[[int], msgspec.Struct], withdraw: Callable[[int], msgspec.Struct] | None = None
    ) -> Any:
        """Send what is answered, and wait for it in this thread.

        Args:
            make: makes the message, given its number.
            withdraw: makes the one that is sent when the wait is interrupted; then the answer is waited for all the
                same, because what was asked for is under way.
        """
        future: Future[Any] = Future()
        number = self.ask(make, future.set_result)
        try:
            return future.result()
        except BaseException:
            if withdraw is not None and not future.done():
                self.tell(withdraw(number))
                future.result()
            raise

    def _next(self) -> ToWorker | None:
        try:
            return self._channel.receive()
        except ChannelClosed:
            if not self._said_all:
                _die()
            self._hung_up.set()
            return None

    def _listen(self) -> None:
        while (message := self._next()) is not None:
            match message:
                case Ack() | Spawned() | Blob() | Response():
                    if (answered := self._asked.pop(message.number, None)) is not None:
                        answered(message)
                case Stop() as stop:
                    self._on_stop(stop)
                case NewLimit(memory=memory):
                    self.memory = memory
                case Hold():
                    if self.on_hold is not None:
                        self.on_hold()
                case Start():
                    pass  # there is one, and it was read before


def _die() -> NoReturn:
    """End at once: the driver is gone, and with it everybody who could be told of anything."""
    os._exit(71)


class RemoteLog:
    """What `RunLog` is to a driver: a picture of the run, kept up to date by what is appended."""

    def __init__(self, run: str, state: RunState, clock: Callable[[], float] = time.time) -> None:
        """Take up a run at the state that the driver has handed over."""
        self.run = run
        self.state = state
        self.epoch = 0
        self.ended_here = False
        self._clock = clock

    def append(self, event: Event, blobs: tuple[str, ...] = (), actor: str = "driver") -> tuple[Record, Append]:
        """Take an event into account, and give what the driver is to be told. Places are counted here from its last."""
        assert not isinstance(event, RunEnded)  # noqa: S101 - how a run ends is never a worker's to say
        record = Record(self.state.seq + 1, self._clock(), actor, self.epoch, b"", event)
        self.state.apply(record)
        return record, Append(event, blobs)


class RemoteCommitter:
    """What `Committer` is to a driver: the way to where records become durable."""

    def __init__(self, line: Line) -> None:
        """Send over a line."""
        self.busy = 0
        self._line = line

    def hand_in(self, entry: Append) -> None:
        """Send an event that nobody waits for."""
        self._line.tell(entry)

    def submit(self, entry: Append, loop: asyncio.AbstractEventLoop | None) -> Ticket:
        """Send an event, and give what to wait for."""
        if loop is None:
            ticket = ThreadTicket()
            self._line.ask(lambda number: _numbered(entry, number), lambda ack: ticket.settle(_problem(ack)))
            return ticket
        waiter = LoopTicket(loop=loop)
        self._line.ask(
            lambda number: _numbered(entry, number),
            lambda ack: _on_loop(loop, lambda: settle_on_loop([(waiter, _problem(ack))])),
        )
        return waiter


def _numbered(entry: Append, number: int) -> Append:
    return msgspec.structs.replace(entry, number=number)


def _problem(answer: Ack | Blob | Response) -> RegrowError | None:
    if answer.problem is None:
        return None
    error = rebuild(answer.problem)
    return error if isinstance(error, RegrowError) else StoreUnavailable(f"the driver could not do it: {error!r}")


def _on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        if not loop.is_closed():  # with a closed loop, whoever waited is gone
            raise


class RemoteBlobs:
    """The driver's blobs, over the channel, for a store that is not a folder of this machine."""

    def __init__(self, line: Line, scratch: Path) -> None:
        """Fetch what must be a file into `scratch`."""
        self._line = line
        self._scratch = scratch

    def put(self, data: bytes) -> str:
        """See `BlobStore.put`."""
        answer: Blob = self._line.ask_and_wait(lambda number: PutBlob(number, data))
        if (problem := _problem(answer)) is not None:
            raise problem
        return answer.digest

    def put_file(self, path: Path) -> str:
        """See `BlobStore.put_file`."""
        return self.put(path.read_bytes())

    def get(self, digest: str) -> bytes:
        """See `BlobStore.get`."""
        answer: Blob = self._line.ask_and_wait(lambda number: GetBlob(number, digest))
        if (problem := _problem(answer)) is not None:
            raise problem
        return answer.data

    def path_of(self, digest: str) -> Path:
        """See `BlobStore.path_of`."""
        path = self._scratch / f"blob-{digest}"
        if not path.exists():
            arriving = path.with_suffix(f".{threading.get_ident()}")
            arriving.write_bytes(self.get(digest))
            arriving.chmod(0o400)
            arriving.rename(path)
        return path

    def digests(self) -> Any:
        """See `BlobStore.digests`; a worker has no business with other runs' blobs."""
        raise StoreUnavailable("a worker cannot list the store's blobs")

    def delete(self, digest: str) -> None:
        """See `BlobStore.delete`; a worker has no business with other runs' blobs."""
        raise StoreUnavailable(f"a worker cannot delete the store's blobs ({digest})")


class RemoteHost:
    """What `Host` is to a driver."""

    def __init__(self, line: Line) -> None:
        """Speak over a line."""
        self._line = line

    def ask(self, service: str, method: str, arguments: dict[str, Any]) -> Any:
        """Ask for what the driver's store alone can do; see `regrow.executors.services`."""
        answer: Response = self._line.ask_and_wait(lambda number: Request(number, service, method, arguments))
        if answer.problem is not None:
            raise rebuild(answer.problem)
        return answer.result

    @property
    def memories(self) -> Memories:
        """See `Surroundings.memories`."""
        return cast("Memories", stand_in("memories", self.ask, OFFERED["memories"]))

    @property
    def cache(self) -> SharedCache:
        """See `Surroundings.cache`."""
        return cast("SharedCache", stand_in("cache", self.ask, OFFERED["cache"]))

    @property
    def asks(self) -> Desk:
        """See `Surroundings.asks`."""
        return cast("Desk", stand_in("asks", self.ask, OFFERED["asks"]))

    @property
    def signals(self) -> Signals:
        """See `Surroundings.signals`."""
        return cast("Signals", stand_in("signals", self.ask, OFFERED["signals"]))

    def note_log(self, _run: str, line: LogLine) -> None:
        """See `Surroundings.note_log`; what a forked process logs is not told."""
        if self._line.is_ours:
            self._line.tell(Logged(line))

    def sizes(self, _task: str, _input_class: int, _project: str) -> list[SizeSeen]:
        """See `Surroundings.sizes`; workers are placed by the driver, which asks its own store."""
        return []

    def remember_size(self, seen: SizeSeen, project: str) -> None:
        """See `Surroundings.remember_size`; likewise."""

    def release_blobs(self, _run: str, digests: tuple[str, ...]) -> None:
        """See `Surroundings.release_blobs`."""
        self._line.tell(ReleaseBlobs(digests))


class RemoteExecutor:
    """Runs bodies here, and asks the driver for a worker where one is needed."""

    def __init__(self, line: Line, ceiling: int) -> None:
        """Speak over a line; `ceiling` is the driver's."""
        self.ceiling = ceiling
        self._line = line
        self._inline = InlineExecutor()

    async def run(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run`."""
        if not callee.isolated:
            return await self._inline.run(callee, scope, args, kwargs)
        job = job_of(callee, scope, args, kwargs)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Spawned] = loop.create_future()

        def answered(spawned: Spawned) -> None:
            _on_loop(loop, lambda: None if answer.done() else answer.set_result(spawned))

        number = self._line.ask(lambda number: Spawn(number, job), answered)
        try:
            return _outcome(scope, await asyncio.shield(answer))
        except asyncio.CancelledError:
            self._line.tell(Withdraw(number))
            await asyncio.wait((answer,))  # its worker is ended first: nothing of a call outlives it
            raise

    def run_blocking(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run_blocking`."""
        if not callee.isolated:
            return self._inline.run_blocking(callee, scope, args, kwargs)
        job = job_of(callee, scope, args, kwargs)
        # Its worker is ended first when this one is: nothing of a call outlives it.
        return _outcome(scope, self._line.ask_and_wait(lambda number: Spawn(number, job), Withdraw))


def _outcome(scope: Scope, spawned: Spawned) -> Kept:
    if spawned.error is not None:
        error = rebuild(spawned.error)
        give_traceback(error, spawned.error)
        for path in spawned.again:
            mark(error, scope.driver.run, path)
        raise error
    assert spawned.value is not None  # noqa: S101 - one of the two is always there
    return Kept(spawned.value, spawned.blobs)
