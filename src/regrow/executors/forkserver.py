"""The driver's end of a fork server: starting one, asking it for workers, and hearing how they ended."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from typing import IO, TypeVar

import msgspec

from regrow.codec import rebuild
from regrow.engine.branches import start_apart
from regrow.engine.decide import note
from regrow.executors.channel import Frames
from regrow.executors.messages import Code
from regrow.executors.warm import (
    REQUEST,
    Exited,
    Forked,
    Loaded,
    News,
    NotForked,
    NotLoaded,
    Preload,
    news_decoder,
)

ENTRY = "import sys; sys.path[:] = __import__('json').loads(sys.argv[1])['path']; from {} import main; main()"

INHERITED = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "NO_COLOR", "COLUMNS", "NO_PROXY", "no_proxy", "CUDA_HOME", "CUDA_PATH", "CUDA_DEVICE_ORDER", "MPLBACKEND",
    "MPLCONFIGDIR", "XDG_CACHE_HOME", "HF_HOME",
})  # fmt: skip
"""The environment variables that a worker has without being given them: what programs need to find their way, and
nothing that is commonly a secret. A proxy's address often holds a password, so those are not among them."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS")
"""How numeric libraries are told how many threads to use. Left alone, each worker would use all processors, and the
server, in which OpenBLAS starts its threads when it is imported, would not be single-threaded."""


_log = logging.getLogger("regrow")

_LONG_SECONDS = 10.0
"""After how long it is said that a module is still being loaded."""
_LOAD_SECONDS = 300.0
"""How long that may take. Large frameworks take half a minute on a slow disk; a lock that is held takes for ever."""
_ENDING_SECONDS = 2.0
"""How long a server may take to end its workers and itself."""
_CLOSING_SECONDS = 1.0
"""Between the end of a process's channel and its own, if it is about to end."""


class Environment(msgspec.Struct, frozen=True):
    """What the workers of one server have in common.

    Attributes:
        module: what is loaded, under which name.
        file: from where.
        variables: environment variables that tasks ask for with ``env=``.
        threads: how many threads numeric libraries are to use.
        folder: the working directory.
    """

    module: str
    file: str
    variables: tuple[tuple[str, str], ...]
    threads: int
    folder: str

    @classmethod
    def of(cls, code: Code, variables: tuple[tuple[str, str], ...], cpu: float) -> Environment:
        """Give the environment that a task's workers need."""
        return cls(code.module, code.file, variables, max(1, int(cpu)), os.getcwd())  # noqa: PTH109 - as text

    def as_variables(self) -> dict[str, str]:
        """Give the environment variables that the server begins with."""
        inherited = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("LC_")}
        return inherited | dict.fromkeys(THREADS, str(self.threads)) | dict(self.variables)


class ServerLost(Exception):
    """The fork server is gone, or the system refused another process; the worker was never there."""


class LoadingEnded(ServerLost):
    """The fork server died over what it was to load."""


class WorkerProcess:
    """A worker, as its driver knows it.

    Attributes:
        pid: its process id, which is also that of its process group.
        messages: what it says.
        writer: where to say something to it.
        stdout: the reading end of its standard output.
        stderr: likewise.
        exited: how it ended, once it has; None if nobody can know.
    """

    def __init__(  # noqa: PLR0917 - what a process is
        self,
        pid: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stdout: int,
        stderr: int,
        exited: asyncio.Future[Exited | None],
    ) -> None:
        """Know a process that was just forked."""
        self.pid = pid
        self.reader = reader
        self.writer = writer
        self.stdout = stdout
        self.stderr = stderr
        self.exited = exited


class ForkServer:
    """One warm server process, for the workers of one environment."""

    def __init__(self, environment: Environment, process: subprocess.Popen[bytes], requests: socket.socket) -> None:
        """Made by `start`."""
        self.environment = environment
        self.threads_left = 1
        self._process = process
        self._requests = requests
        self._numbers = itertools.count(1)
        self._forked: dict[int, asyncio.Future[int]] = {}
        self._exited: dict[int, asyncio.Future[Exited | None]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._news: asyncio.StreamWriter | None = None  # never written to, but without it the reader is closed
        self._lost = False

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked for workers."""
        return not self._lost

    @property
    def busy(self) -> int:
        """How many of its workers are alive."""
        return len(self._exited)

    @classmethod
    async def start(cls, environment: Environment, entry: str) -> ForkServer:
        """Start a server and wait until it has loaded the code.

        Args:
            environment: what it is to be.
            entry: the module whose ``main()`` it runs.

        Raises:
            LoadingEnded: it died over it.
            ServerLost: it was killed while it did so.
            Exception: what the user's module raised when it was loaded.
        """
        requests, requests_there = socket.socketpair()
        news, news_there = socket.socketpair()
        preload = Preload(
            requests_there.fileno(), news_there.fileno(), _path(), environment.module, environment.file, os.getpid()
        )
        with tempfile.TemporaryFile() as errors:
            with requests_there, news_there:  # open here as well, they would hide that the server has died
                process = subprocess.Popen(  # noqa: ASYNC220, S603 - a few milliseconds; our own interpreter
                    [sys.executable, "-I", "-c", ENTRY.format(entry), msgspec.json.encode(preload).decode()],
                    env=environment.as_variables(),
                    cwd=environment.folder,
                    pass_fds=(requests_there.fileno(), news_there.fileno()),
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # a terminal's Ctrl-C, and signals to a group, are the driver's to take
                    stdout=subprocess.DEVNULL,  # what a module prints when loaded, it has printed in the driver already
                    stderr=errors,
                )
            server = cls(environment, process, requests)
            try:
                reader, server._news = await asyncio.open_unix_connection(sock=news)
                frames = Frames(reader, news_decoder)
                match await cls._first_news(frames, environment):
                    case Loaded(threads=threads):
                        server.threads_left = threads
                    case NotLoaded() as said:
                        raise _load_failure(said, environment)
                    case _:
                        code = await asyncio.to_thread(_end_of, process)
                        words = _last_words(environment, code, errors)
                        raise (ServerLost if code == -signal.SIGKILL else LoadingEnded)(words)
            except BaseException:
                process.kill()  # it has no workers yet, and may be in the middle of a long import
                server.close()
                raise
        server._listening = asyncio.create_task(server._listen(frames))
        return server

    async def fork(self) -> WorkerProcess:
        """Have a worker forked.

        Raises:
            ServerLost: the server is gone, or could not.
        """
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        forked = self._forked[number] = loop.create_future()
        exited = self._exited[number] = loop.create_future()
        here, there = socket.socketpair()
        stdout, stdout_there = os.pipe()
        stderr, stderr_there = os.pipe()
        try:
            with there:
                try:
                    # A few bytes into an empty buffer, so it does not block.
                    socket.send_fds(
                        self._requests, [REQUEST.pack(number)], [there.fileno(), stdout_there, stderr_there]
                    )
                except OSError as problem:
                    raise ServerLost(f"the fork server is gone ({problem.strerror})") from None
                finally:
                    os.close(stdout_there)
                    os.close(stderr_there)
                pid = await forked
            reader, writer = await asyncio.open_unix_connection(sock=here)
        except BaseException:
            here.close()
            os.close(stdout)
            os.close(stderr)
            self._forked.pop(number, None)
            if not forked.done() or forked.cancelled() or forked.exception() is not None:
                self._exited.pop(number, None)
            raise
        return WorkerProcess(pid, reader, writer, stdout, stderr, exited)

    def close(self) -> None:
        """End the server, and with it all of its workers."""
        self._lost = True
        self._requests.close()
        if self._listening is not None:
            self._listening.cancel()
        if self._news is not None:
            self._news.close()
        try:
            start_apart(threading.Thread(target=self._wait, name="regrow-server-end", daemon=True))
        except RuntimeError:  # from Python 3.12 on no thread can be started while the interpreter ends
            self._wait()

    def _wait(self) -> None:
        """Wait for the end of the server, which ends its workers first, beside the loop."""
        try:
            self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @staticmethod
    async def _first_news(frames: Frames[News], environment: Environment) -> News | None:
        """Wait until a server has loaded its code; say so if that takes long, and give it up if it takes too long."""
        first = asyncio.ensure_future(frames.next())
        done, _ = await asyncio.wait((first,), timeout=_LONG_SECONDS)
        if not done:
            _log.warning("a worker process is still loading %s after %g s", environment.file, _LONG_SECONDS)
            done, _ = await asyncio.wait((first,), timeout=_LOAD_SECONDS - _LONG_SECONDS)
        if not done:
            first.cancel()
            raise LoadingEnded(f"{environment.file} was not loaded in a worker process within {_LOAD_SECONDS:g} s")
        return first.result()

    async def _listen(self, frames: Frames[News]) -> None:
        while (news := await frames.next()) is not None:
            match news:
                case Forked():
                    _settle(self._forked.pop(news.number, None), news.pid)
                case NotForked():
                    self._exited.pop(news.number, None)
                    future = self._forked.pop(news.number, None)
                    if future is not None and not future.done():
                        future.set_exception(ServerLost(f"no worker could be forked: {os.strerror(news.errno)}"))
                case Exited():
                    _settle(self._exited.pop(news.number, None), news)
                case Loaded() | NotLoaded():
                    pass  # said once, and heard at the start
        self._lost = True
        for future in self._forked.values():
            if not future.done():
                future.set_exception(ServerLost("the fork server is gone"))
        for exited in self._exited.values():  # its workers die with it, and nobody has seen how
            _settle(exited, None)
        self._forked.clear()
        self._exited.clear()


T = TypeVar("T")


def _settle(future: asyncio.Future[T] | None, result: T) -> None:
    if future is not None and not future.done():
        future.set_result(result)


def _path() -> list[str]:
    """Give this process's import path, for another one whose working directory may become another."""
    return [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 - as text; '' is the working directory


def _load_failure(said: NotLoaded, environment: Environment) -> BaseException:
    error = rebuild(said.error)
    note(error, f"regrow: while loading {environment.file} as {environment.module} in a worker process")
    wanted = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(wanted, str) and wanted in os.environ:
        note(
            error,
            f"regrow: {wanted} is in the driver's environment, but not in that of its workers. What secrets= names "
            f"arrives after loading: read it inside the task, or hand it over with env= if it is no secret",
        )
    if isinstance(error, Exception):
        return error
    return ImportError(
        f"loading {environment.file} in a worker process ended in {error!r}; what is to run only in the program itself "
        f"belongs under `if __name__ == '__main__':`"
    )


def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Give how a process ended that has closed its end of the channel, and may live on all the same."""
    try:
        return process.wait(_CLOSING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 0


def _last_words(environment: Environment, code: int, errors: IO[bytes]) -> str:
    errors.seek(0)
    said = errors.read()[-2000:].decode("utf-8", "replace").strip()
    return f"loading {environment.file} ended its process with status {code}" + (f":\n{said}" if said else "")
