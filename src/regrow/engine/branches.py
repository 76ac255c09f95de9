"""Branches: which strand of the user's concurrent code a call is made on.

A call's place in its run is structural: which branch made it, under which name, and the how-manieth of that name it was
there. A branch is one `asyncio.Task` or one thread of the user's code, and it gets its name where it is *created*, in
its creator's own order; never where it first runs or finishes, which differs from run to run. That is why a resumed run
hands every branch its own results, whatever finishes first.

To see every creation, three seams are used: a task factory on the event loop, and, from the first run on, thin wrappers
around `threading.Thread.start` and `ThreadPoolExecutor.submit` (through which `asyncio.to_thread` goes too). They do
nothing outside a run. `asyncio.as_completed` is wrapped as well: it makes its tasks in the order of a *set* of
coroutines, that is, of memory addresses; inside a run it makes them in the order given.

Rejected: context variables, which two tasks may share (``create_task(..., context=...)``) and which threads do not
inherit. Counting calls over the whole run, as is common, which hands one branch the other's result as soon as they
finish in another order.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from regrow.errors import UsageError

if TYPE_CHECKING:
    from regrow.engine.driver import Driver
    from regrow.engine.scope import Scope


_NO_SEPARATORS = str.maketrans(dict.fromkeys("/#~!@ \t\n", "_"))
"""A function may be called anything (``GET /users``), but what separates the parts of a path is ours."""

_inside: ContextVar[Driver | None] = ContextVar("regrow_inside", default=None)
"""Which run the code belongs to, for want of a branch. Contexts travel into callbacks and tasks that no factory sees;
they say nothing of order, so they can tell that a call is made in a run, but never which call it is."""


class Branch:
    """One strand of user code inside a call.

    Attributes:
        scope: the call whose body it runs.
        prefix: what the paths of its calls begin with.
    """

    __slots__ = ("_forks", "_ordinals", "_position", "prefix", "scope")

    def __init__(self, scope: Scope, prefix: str) -> None:
        """Begin a strand in which nothing has been called yet."""
        self.scope = scope
        self.prefix = prefix
        self._ordinals: dict[str, int] = {}
        self._forks: dict[str, int] = {}
        self._position = 0

    def place(self, name: str) -> tuple[str, int]:
        """Give the next call of a name its path, and its position among all calls of this branch."""
        ordinal = self._ordinals.get(name, 0) + 1
        self._ordinals[name] = ordinal
        self._position += 1
        return f"{self.prefix}{name}#{ordinal}", self._position

    def made(self, name: str) -> int:
        """Give how many calls of a name it has made."""
        return self._ordinals.get(name, 0)

    @property
    def reached(self) -> tuple[dict[str, int], dict[str, int], int]:
        """How far it has come: calls by name, strands by name, and calls in all."""
        return dict(self._ordinals), dict(self._forks), self._position

    def go_on_from(self, calls: dict[str, int], strands: dict[str, int], position: int) -> None:
        """Count on from where it had come to when a checkpoint was saved."""
        self._ordinals, self._forks, self._position = dict(calls), dict(strands), position

    def fork(self, name: str) -> Branch:
        """Begin a strand of its own, named after the function that it runs."""
        name = name.translate(_NO_SEPARATORS)
        ordinal = self._forks.get(name, 0) + 1
        self._forks[name] = ordinal
        return Branch(self.scope, f"{self.prefix}~{name}#{ordinal}/")


class Place(Protocol):
    """Where a strand is remembered: its asyncio task, or its thread."""

    branch: Branch | None


class BranchTask(asyncio.Task[Any]):
    """An asyncio task that knows its branch."""

    branch: Branch | None

    def __init__(self, coro: Coroutine[Any, Any, Any], *, branch: Branch | None, **options: Any) -> None:
        """Run `coro` as `branch`. Set first: an eager task runs before this returns."""
        self.branch = branch
        super().__init__(coro, **options)


class _ThreadPlace(threading.local):
    branch: Branch | None = None
    submitting: bool = False


_thread = _ThreadPlace()
_UNORDERED: Branch = Branch.__new__(Branch)
"""Stands for strands to which work comes by chance, so that no order can be told; no call can be made on it."""


def here() -> Place:
    """Give the place of the strand that is running now."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return _thread
    return task if isinstance(task, BranchTask) else _thread


def loop_is_running() -> bool:
    """Tell whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def scope_here() -> Scope | None:
    """Give the call that the running strand is in, for looking only; None where there is none or it cannot be told."""
    branch = here().branch
    return None if branch is None or branch is _UNORDERED else branch.scope


def current_branch() -> Branch | None:
    """Give the strand that is running now; None outside of runs.

    Raises:
        UsageError: it runs inside a run, but on an event loop or in a callback whose order nobody can know.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return _thread_branch()
    if type(task) is BranchTask:
        return task.branch
    if _thread.branch is not None:
        raise UsageError(
            "a recorded call was made on an event loop that this run does not know (asyncio.run inside a synchronous "
            "task?); make the task `async def` and await there"
        )
    driver = _inside.get()
    if driver is not None and not driver.is_over:
        raise UsageError(
            "a recorded call was made in a callback of the event loop, or in a task that was made in one, with "
            "asyncio.Task(…) or from a thread, where its branch cannot be known; make tasks with asyncio.create_task, "
            "in a coroutine"
        )
    return None


def _thread_branch() -> Branch | None:
    branch = _thread.branch
    if branch is None:
        return None
    if branch is _UNORDERED:
        raise UsageError(
            "a recorded call was made in a thread of multiprocessing.pool, which hands work to its threads by chance; "
            "use asyncio.to_thread, concurrent.futures.ThreadPoolExecutor or regrow.map"
        )
    if branch.scope.driver.is_over:
        raise UsageError(
            f"a recorded call was made in a thread that run {branch.scope.driver.run} had started, and that run is "
            f"over; let threads end with the run that starts them"
        )
    return branch


def belongs_to(driver: Driver) -> None:
    """Let everything that comes of the running context belong to a run."""
    _inside.set(driver)


async def run_on(branch: Branch, coro: Coroutine[Any, Any, Any], *, apart: bool = False) -> Any:
    """Await a coroutine as `branch`.

    Args:
        branch: which strand it is to be.
        coro: what to await.
        apart: do so in an asyncio task of its own even where the running one could be used.
    """
    task = asyncio.current_task()
    if apart or not isinstance(task, BranchTask):
        return await BranchTask(coro, branch=branch, loop=asyncio.get_running_loop())
    outer, task.branch = task.branch, branch
    try:
        return await coro
    finally:
        task.branch = outer


# -- the seams ---------------------------------------------------------------------------------------------------------


class _Factory:
    """A task factory that gives each new task a branch of its creator's, and leaves tasks outside of runs alone."""

    def __init__(self, former: Callable[..., Any] | None) -> None:
        self.former = former

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        branch = _creator()
        if branch is None:
            if self.former is not None:
                return self.former(loop, coro, **options)
            return asyncio.Task(coro, loop=loop, **options)
        if _called_by_unordered(sys._getframe(1)):  # noqa: SLF001 - asyncio says who calls in no other way
            raise UsageError(
                "asyncio.as_completed was imported by name before regrow was, so its tasks have no order; "
                "import regrow first, or hand it tasks made with asyncio.create_task"
            )
        task = BranchTask(coro, branch=branch.fork(_name_of(coro)), loop=loop, **options)
        branch.scope.driver.note_strand(task)
        return task


def _creator() -> Branch | None:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return task.branch if type(task) is BranchTask else None


def _name_of(coro: Any) -> str:
    name: str = getattr(coro, "__name__", None) or type(coro).__name__
    return name


def drive_on(loop: asyncio.AbstractEventLoop) -> None:
    """See to it that tasks made on a loop get their branches."""
    install()
    former = loop.get_task_factory()
    if not isinstance(former, _Factory):
        loop.set_task_factory(_Factory(former))


_installed = False
_start_thread = threading.Thread.start
_submit = ThreadPoolExecutor.submit
_as_completed = asyncio.as_completed
_unordered_code = {_as_completed.__code__} | {
    method.__code__
    for method in vars(getattr(asyncio.tasks, "_AsCompletedIterator", object)).values()
    if hasattr(method, "__code__")
}


def install() -> None:
    """Wrap the ways in which threads are made. Once a process; harmless outside of runs."""
    global _installed  # noqa: PLW0603 - the wrappers are the process's, not an object's
    if not _installed:
        _installed = True
        threading.Thread.start = _starting  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = _submitting  # type: ignore[method-assign,assignment]


def start_apart(thread: threading.Thread) -> None:
    """Start a thread of regrow's own, which is no strand of the code that happens to run."""
    _start_thread(thread)


def as_completed(fs: Any, *, timeout: float | None = None) -> Any:
    """Do what `asyncio.as_completed` does, with the tasks made in the order in which they were given."""
    if _creator() is not None and not asyncio.iscoroutine(fs) and not asyncio.isfuture(fs):
        fs = [asyncio.ensure_future(one) for one in fs]
    return _as_completed(fs, timeout=timeout)


asyncio.as_completed = as_completed
asyncio.tasks.as_completed = as_completed


def _called_by_unordered(frame: Any) -> bool:
    """Tell whether a task is being made by the unwrapped `as_completed`, some frames below in asyncio's code."""
    for _ in range(5):
        if frame is None or "asyncio" not in frame.f_code.co_filename:
            return False
        if frame.f_code in _unordered_code:
            return True
        frame = frame.f_back
    return False


def _starting(self: threading.Thread) -> None:
    branch = None if _thread.submitting else here().branch
    if branch is not None:
        target = getattr(self, "_target", None) or type(self)
        unordered = getattr(target, "__module__", "") == "multiprocessing.pool"
        fork = _UNORDERED if unordered else _forked(branch, _callee_name(target))
        self.run = _bound(fork, self.run)  # type: ignore[method-assign]  # a thread runs whatever its `run` is by then
    _start_thread(self)


def _forked(branch: Branch, name: str) -> Branch:
    """Fork a branch; what is made where no order can be told has none either."""
    return branch if branch is _UNORDERED else branch.fork(name)


def _submitting(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    if _thread.submitting:
        return _submit(self, fn, *args, **kwargs)
    branch = here().branch
    _thread.submitting = True  # the pool may start a thread of its own now, which is nobody's branch
    try:
        if branch is not None:
            fn = _bound(_forked(branch, _callee_name(fn)), fn)
        return _submit(self, fn, *args, **kwargs)
    finally:
        _thread.submitting = False


def _bound(branch: Branch, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        outer, _thread.branch = _thread.branch, branch
        belongs = _inside.set(branch.scope.driver if branch is not _UNORDERED else None)
        try:
            return function(*args, **kwargs)
        finally:
            _inside.reset(belongs)
            _thread.branch = outer

    return run


def _callee_name(function: Any) -> str:
    """Name a function given to a thread; `asyncio.to_thread` wraps it in ``partial(context.run, function)``."""
    while isinstance(function, partial):
        is_context_run = getattr(function.func, "__name__", "") == "run" and function.args
        function = function.args[0] if is_context_run else function.func
    return str(getattr(function, "__name__", None) or type(function).__name__)


async def in_thread(branch: Branch, function: Callable[[], Any]) -> Any:
    """Run the body of a call in a thread of the loop's pool, as a branch that is already there."""
    loop = asyncio.get_running_loop()
    _thread.submitting = True
    try:
        future = loop.run_in_executor(None, _bound(branch, function))
    finally:
        _thread.submitting = False
    return await future


def in_fresh_stack(branch: Branch, function: Callable[[], Any]) -> Any:
    """Run a body in a thread of its own while the caller waits: Python's recursion limit counts by thread."""
    outcome: Future[Any] = Future()

    def body() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
            outcome.set_exception(error)

    thread = threading.Thread(target=_bound(branch, body), name="regrow-deep")
    _start_thread(thread)
    return outcome.result()
