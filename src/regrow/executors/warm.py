"""The fork server: a process that has loaded a task's imports, and forks one worker for each attempt.

It has a single thread, so that a fork copies nothing that is half done; no secrets, because it inherits only a few
named environment variables; and no store, lease or socket of its driver's. It runs none of the user's tasks itself. A
worker begins with everything imported, which makes it ready within milliseconds.

It is the parent of its workers, so it alone learns how they ended, and tells the driver. When the driver is gone, so
are the server, its workers, and whatever they have left behind.
"""

from __future__ import annotations

import ctypes
import gc
import io
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from regrow.codec import ErrorRecord, capture
from regrow.engine.healer import Healer
from regrow.executors import loading
from regrow.executors.worker import work

REQUEST: Final = struct.Struct("<I")
"""A request to fork: the number under which to speak of the worker. The worker's channel and its two streams come with
it, as file descriptors."""
FDS: Final = 3


_OF_JEMALLOC: Final = "jemalloc_bg_thd"
"""pyarrow and polars each bring a jemalloc along, and it starts this thread when they are imported."""


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The code is loaded. `threads` is how many threads that has left running; a fork takes none of them along."""

    threads: int


class NotLoaded(msgspec.Struct, frozen=True, tag="not-loaded"):
    """The code could not be loaded."""

    error: ErrorRecord


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """A worker is there."""

    number: int
    pid: int


class NotForked(msgspec.Struct, frozen=True, tag="not-forked"):
    """The system refused another process."""

    number: int
    errno: int


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """A worker is gone: its wait status, and the processor time that it and its own children have taken, in seconds."""

    number: int
    status: int
    cpu_seconds: float


News = Loaded | NotLoaded | Forked | NotForked | Exited
_encode = msgspec.msgpack.Encoder().encode
news_decoder: Final = msgspec.msgpack.Decoder(News)


class Preload(msgspec.Struct, frozen=True):
    """What a server is started with, as JSON on its command line."""

    requests: int
    news: int
    path: list[str]
    module: str
    file: str
    driver: int


def serve(said: str, healer: Healer) -> None:
    """Be a fork server until the driver is gone.

    Args:
        said: a `Preload`, as JSON.
        healer: what workers ask about the failures of their own steps.
    """
    preload = msgspec.json.decode(said, type=Preload)
    sys.argv = [preload.file]
    server = _Server(socket.socket(fileno=preload.requests), socket.socket(fileno=preload.news), healer, preload.driver)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != preload.driver:
        return
    adopt_orphans()
    loading.begin_loading()
    try:
        loading.load(preload.module, preload.file)
    except BaseException as error:  # noqa: BLE001 - a script may do anything at all when it is loaded
        server.tell(NotLoaded(capture(error)))
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # else each worker would print again what the module has printed
    server.tell(Loaded(_threads()))
    gc.collect()
    gc.freeze()  # a collection in a worker would touch, and so copy, every page that it shares with this process
    server.run()


class _Server:
    def __init__(self, requests: socket.socket, news: socket.socket, healer: Healer, driver: int) -> None:
        self._driver = driver
        self._healer = healer
        self._requests = requests
        self._news = news
        self._workers: dict[int, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._ended = False

    def tell(self, news: News) -> None:
        body = _encode(news)
        try:
            self._news.sendall(struct.pack("<I", len(body)) + body)
        except OSError:
            self._ended = True

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        while not self._ended:
            requests, wake = self._requests.fileno(), self._wake_read
            ready, _, _ = select.select([requests, wake], [], [])
            if wake in ready:
                os.read(wake, 4096)
                self._reap()
            if requests in ready:
                self._serve_one()
        self._end()

    def _stop(self, *_: Any) -> None:
        # Also sent by a service manager to all processes of a service at once. As long as the driver lives it decides,
        # and its workers have work to save.
        self._ended = os.getppid() != self._driver

    def _serve_one(self) -> None:
        try:
            request, fds, _, _ = socket.recv_fds(self._requests, REQUEST.size, FDS)
        except OSError:
            request, fds = b"", []
        if len(request) < REQUEST.size or len(fds) < FDS:
            self._ended = True
            return
        (number,) = REQUEST.unpack(request)
        try:
            pid = os.fork()
        except OSError as problem:
            self.tell(NotForked(number, problem.errno or 0))
        else:
            if pid == 0:
                self._become_worker(fds)
            self._workers[pid] = number
            self.tell(Forked(number, pid))
        for fd in fds:
            os.close(fd)

    def _become_worker(self, fds: list[int]) -> None:
        """Turn this process, just forked, into a worker; does not come back."""
        code = 70  # EX_SOFTWARE: only left in place if regrow itself fails
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            for sock in (self._requests, self._news):
                sock.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            os.setsid()
            die_with_parent(signal.SIGKILL)
            adopt_orphans()
            channel, stdout, stderr = fds
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.close(stdout)
            os.close(stderr)
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, io.TextIOWrapper):
                    stream.reconfigure(line_buffering=True)  # what was printed is told, however the worker ends
            code = work(socket.socket(fileno=channel), self._healer)
        finally:
            os._exit(code)

    def _reap(self) -> None:
        ended = False
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            ended = True  # an orphan's, too, leave theirs to us
            number = self._workers.pop(pid, None)
            if number is not None:
                self.tell(Exited(number, status, usage.ru_utime + usage.ru_stime))
        if ended:
            self._kill_orphans()

    def _kill_orphans(self) -> None:
        """Kill what dead workers have left: whatever is our child and no worker was a worker's."""
        for pid in _children():
            if pid not in self._workers:
                _kill(pid)

    def _end(self) -> None:
        for pid in (*self._workers, *_children()):
            _kill(pid)
        self._workers.clear()
        while True:  # what they leave comes to us, generation after generation
            try:
                os.wait4(-1, 0)
            except ChildProcessError:
                return
            self._kill_orphans()


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]
    except OSError:
        return []  # no such thing here; process groups are what is left (see `Attempt`)


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _threads() -> int:
    """Count the threads that a fork would leave behind; but not jemalloc's, which sees to forks itself."""
    try:
        return sum((task / "comm").read_text().strip() != _OF_JEMALLOC for task in Path("/proc/self/task").iterdir())
    except OSError:
        return 1


_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def die_with_parent(number: signal.Signals) -> None:
    """Be sent a signal when the parent is gone. Linux only; elsewhere the end of the channel says it."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of whatever descendants lose theirs, so that none escapes. Linux only."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


def _prctl(option: int, value: int) -> None:
    if _libc is not None:
        _libc.prctl(option, value, 0, 0, 0)
