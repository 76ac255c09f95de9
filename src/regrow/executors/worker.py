"""A worker: runs one attempt of one task, tells the driver what came of it, and ends.

It is forked from the fork server (`regrow.executors.warm`) with everything imported. What it is to do, and the secrets
that it needs for that, come over its channel after the fork.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import tempfile
import threading
import traceback
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

from regrow.codec import capture, registry
from regrow.engine import decide
from regrow.engine.branches import belongs_to, drive_on, here, install, run_on
from regrow.engine.callee import Callee
from regrow.engine.committer import Committer, Ticket, arrive
from regrow.engine.driver import Driver
from regrow.engine.healer import Healer
from regrow.engine.log import RunLog
from regrow.engine.run_logging import run_logging
from regrow.engine.scope import Scope
from regrow.engine.state import RunState
from regrow.engine.vault import INLINE_BYTES, Kept, Vault
from regrow.errors import Failure, Preempted, RegrowError, TimedOut, UsageError
from regrow.executors import own
from regrow.executors.channel import ChannelClosed, SocketChannel
from regrow.executors.limits import cgroup_v1, rlimits, usage
from regrow.executors.messages import Counted, FrameKind, Gave, Ready, Resting, Signalled, Start, Stop, Threw
from regrow.executors.remote import FORKED, Line, RemoteBlobs, RemoteCommitter, RemoteExecutor, RemoteHost, RemoteLog
from regrow.executors.shield import Shield
from regrow.journal.blobs import BlobStore, FileBlobs
from regrow.journal.records import Event
from regrow.values.options import Options
from regrow.values.policies import Bounds, Budget
from regrow.values.secret import Secret

GRACE_SECONDS = 10.0
"""How long a task has after a SIGTERM from outside to save its work. Container runtimes commonly give 10 (Docker) or 30
(Kubernetes)."""


def work(sock: socket.socket, healer: Healer) -> int:
    """Run the one job that comes over a channel. Gives the exit code."""
    channel = SocketChannel(sock)
    try:
        start = channel.receive()
    except ChannelClosed:
        return 0
    assert isinstance(start, Start)  # noqa: S101 - the protocol's first message
    return _Worker(channel, start, healer).run()


class _Worker:
    def __init__(self, channel: SocketChannel, start: Start, healer: Healer) -> None:
        self._start = start
        self._job = job = start.job
        self._stop: Stop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[Any] | None = None
        self._born_with = 0
        self._shield = Shield()
        self._line = Line(channel, self._told_to_stop, self._shield)
        state = RunState()
        state.take_over(start.known, seq=start.seq, detour=start.detour)
        state.began, state.spent, state.forked = start.began, start.spent, start.forked
        blobs: BlobStore = (
            FileBlobs(Path(start.blobs)) if start.blobs is not None else RemoteBlobs(self._line, Path(start.scratch))
        )
        self._vault = Vault(blobs)
        self._line.on_hold = self._told_to_hold
        self._driver = _WorkerDriver(self._line, self._shield, state, self._vault, healer, start)
        options = Options(name=job.name, retries=job.retries, on_oom=job.on_oom, budget=_budget(job.budget))
        self._scope = Scope(
            self._driver,
            job.call,
            None,
            attempt=job.attempt,
            known=state.calls.get(job.call.path),
            options=options,
            first_begun=job.first_begun,
        )
        self._scope.resources, self._scope.allowed = job.resources, job.allowed
        self._scope.begun = self._driver.now()

    def run(self) -> int:
        self._line.listen()
        try:
            signal.signal(signal.SIGTERM, self._on_signal)
            self._begin()
            message: Gave | Threw = self._carry_out()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the driver decides what it means
            message = self._threw(error)
        except BaseException as error:  # noqa: BLE001 - it ends this process, as it would any other
            return self._leave(error)
        _flush()
        self._line.tell_at_last(message)
        return 0

    def _begin(self) -> None:
        """Become what the job asks for, under its limits, and say so."""
        self._prepare()
        usage.reset_peak(os.getpid())
        self._born_with = usage.peak_of(os.getpid()) or 0
        meter = usage.meter(os.getpid())
        layers = rlimits.apply(self._job.resources, data_limit=self._start.data_limit)
        own.become(own.Own(meter, self._memory_limit, Path(self._start.scratch), (*self._start.enforced_by, *layers)))
        self._line.tell(Ready(layers))

    def _memory_limit(self) -> int | None:
        return self._line.memory if self._line.memory is not None else self._job.resources.memory

    def _prepare(self) -> None:
        start, job = self._start, self._job
        os.environ.update(job.env)
        os.environ.update(start.secrets)
        for name in start.secrets:
            Secret.from_env(name).reveal()  # from now on it is blanked out of all that this process tells
        os.environ["TMPDIR"] = tempfile.tempdir = start.scratch
        if start.gpus or job.resources.gpu == 0:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(start.gpus)
        numpy: Any = sys.modules.get("numpy")
        if numpy is not None and "numpy.random" in sys.modules:
            numpy.random.seed()  # forked siblings would otherwise draw the same numbers; `random` sees to that itself
        run_logging.begin()

    def _carry_out(self) -> Gave:
        job = self._job
        recorded: Any = registry.references.get(job.code.ref)
        if recorded is None:
            raise UsageError(
                f"{job.code.file}, loaded in a worker as {job.code.module}, does not define {job.code.ref}"
            )
        args, kwargs = cast("tuple[tuple[Any, ...], dict[str, Any]]", self._vault.load(job.inputs))
        with self._driver.holding.at_work(self._scope.path):
            result = self._call(recorded.callee, args, kwargs)
        self._driver.check_open()
        self._driver.look_for_passed_over(self._scope.path)
        kept: Kept = self._driver.keep(result, "result")
        left = [one for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]
        return Gave(kept.value, kept.blobs, self._counted(), self._peak(), len(left))

    def _call(self, callee: Callee, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        belongs_to(self._driver)
        if callee.mode == "async":
            with asyncio.Runner() as runner:
                return runner.run(self._await(callee, args, kwargs))
        install()
        place = here()
        place.branch = self._scope.main
        try:
            return callee.function(*args, **kwargs)
        finally:
            place.branch = None

    async def _await(self, callee: Callee, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        loop = asyncio.get_running_loop()
        drive_on(loop)
        self._loop, self._work = loop, asyncio.current_task()
        if self._stop is not None:
            raise asyncio.CancelledError
        return await run_on(self._scope.main, callee.function(*args, **kwargs), apart=True)

    # -- ending --------------------------------------------------------------------------------------------------------

    def _told_to_stop(self, stop: Stop) -> None:
        """Hear of it in the thread that reads the channel; only the main one can interrupt what it runs itself."""
        self._stop = self._stop or stop
        if stop.final:
            self._driver.closing = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _told_to_hold(self) -> None:
        self._driver.holding.told = lambda at_rest: self._line.tell(Resting(at_rest))
        self._driver.holding.begin()

    def _on_signal(self, number: int, _frame: Any) -> None:
        if self._stop is None:
            name = signal.Signals(number).name
            self._stop = Stop("preempted", GRACE_SECONDS, name)
            # Not from here: the interrupted code may be in the middle of sending.
            threading.Thread(target=self._line.tell, args=(Signalled(name),), daemon=True).start()
        if self._driver.cancelled_by is not None:
            return  # it was interrupted once; now it is saving its work
        self._driver.cancelled_by = self._stop.reason
        if self._loop is not None and self._work is not None:
            self._loop.call_soon_threadsafe(self._work.cancel)
        else:
            self._shield.interrupt(self._interruption(self._stop))

    def _interruption(self, stop: Stop) -> BaseException:
        path = self._job.call.path
        match stop.reason:
            case "preempted":
                return Preempted(path, grace=stop.grace, source=stop.source)
            case "timeout" | "deadline":
                limit = self._job.allowed[0] if self._job.allowed is not None else 0.0
                return TimedOut(path, limit, stop.reason)
            case "cancelled":
                return asyncio.CancelledError()

    def _threw(self, error: BaseException) -> Threw:
        limited = rlimits.has_refused(error)
        rlimits.lift()  # what is left to do needs a little memory of its own
        halted = self._driver.halted
        kind: FrameKind = "halted" if halted is not None else self._kind_of(error)
        again = decide.blame(error, self._driver.run, self._scope.path)
        return Threw(capture(halted or error), kind, again, self._counted(), self._peak(), limited)

    def _kind_of(self, error: BaseException) -> FrameKind:
        if self._stop is not None:
            return "preempted" if self._stop.reason == "preempted" else "cancelled"
        if isinstance(error, Failure):
            return "raised"  # of a nested call, which has been explained already
        if isinstance(error, MemoryError):
            return "memory"
        if isinstance(error, OSError):
            if error.errno == errno.ENOMEM or (error.errno == errno.EFAULT and self._may_be_held()):
                return "memory"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return "no-space"
            if error.errno == errno.EFBIG:
                return "file-size"
            if error.errno == errno.EAGAIN:
                return "processes"
        if isinstance(error, RuntimeError) and error.args == ("can't start new thread",):
            return "processes"
        return "raised"

    def _may_be_held(self) -> bool:
        """Tell whether a system call fails with EFAULT at the memory limit; see `cgroup_v1`."""
        return self._job.on_oom is not None and cgroup_v1.VERSION in self._start.enforced_by

    def _leave(self, error: BaseException) -> int:
        """End as Python would end a program that let this escape."""
        if not isinstance(error, SystemExit):
            traceback.print_exception(error)
            _flush()
            return 130 if isinstance(error, KeyboardInterrupt) else 1
        if error.code is not None and not isinstance(error.code, int):
            sys.stderr.write(f"{error.code}\n")
        _flush()
        return error.code & 0xFF if isinstance(error.code, int) else int(error.code is not None)

    def _peak(self) -> int | None:
        """Give the most that this process has used, above what it was forked with; its children do not count here."""
        return usage.peak_of(os.getpid(), above=self._born_with)

    def _counted(self) -> Counted:
        tally = self._driver.tally
        return Counted(tally.executed, tally.replayed, tally.seconds_saved, tally.cached, tally.cached_seconds)


class _WorkerDriver(Driver):
    """A driver whose records go to the one that has the lease."""

    def __init__(  # noqa: PLR0917 - the seams, each once
        self, line: Line, shield: Shield, state: RunState, vault: Vault, healer: Healer, start: Start
    ) -> None:
        # The two twins below have what a driver uses of theirs, and nothing else.
        log = cast("RunLog", RemoteLog(start.run, state))
        committer = cast("Committer", RemoteCommitter(line))
        executor = RemoteExecutor(line, start.ceiling)
        super().__init__(log, committer, vault, executor, healer, RemoteHost(line), strict=start.strict)
        self.line = line
        self._bounds, self._project = start.bounds, start.project
        self._shield = shield

    @property
    def bounds(self) -> Bounds | None:
        return self._bounds

    @property
    def project(self) -> str:
        return self._project

    def record(self, event: Event, loop: asyncio.AbstractEventLoop | None, blobs: tuple[str, ...] = ()) -> Ticket:
        with self._shield:
            return super().record(event, loop, blobs)

    def hand_in(
        self, event: Event, blobs: tuple[str, ...] = (), *, at_last: bool = False, actor: str = "driver"
    ) -> None:
        with self._shield:
            super().hand_in(event, blobs, at_last=at_last, actor=actor)

    def keep(self, value: object, where: str, *, inline_bytes: int = INLINE_BYTES) -> Kept:
        """Keep a value; what becomes a blob of the run's is no file of the task's own, and not held to its disk."""
        with rlimits.file_size_lifted():
            return super().keep(value, where, inline_bytes=inline_bytes)

    def at_work(self, path: str, *, isolated: bool) -> AbstractContextManager[None]:
        # A nested task's worker is the driver's to look after: here it is only waited for.
        return self.holding.at_rest(path) if isolated else self.holding.at_work(path)

    def check(self) -> None:
        if not self.line.is_ours:
            raise UsageError(FORKED)
        super().check()

    def durable_in_thread(self, ticket: Ticket) -> None:
        try:
            arrive(ticket)
        except RegrowError as problem:
            if problem is self._shield.interruption:
                raise  # it struck while we waited: the record is on its way, and nothing is wrong with it
            raise self.halt(problem) from None


def _budget(bounds: Bounds | None) -> Budget | None:
    return None if bounds is None else Budget(bounds.attempts, bounds.memory, bounds.wall_time)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
