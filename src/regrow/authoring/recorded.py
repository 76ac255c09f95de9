"""What tasks and steps have in common: a function whose calls, inside a run, are recorded."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, Generic, ParamSpec, Self, TypeVar, overload

from regrow.authoring.fingerprint import fingerprint
from regrow.codec import module_alias, registry
from regrow.engine.branches import current_branch, loop_is_running
from regrow.engine.callee import Callee, Invocation, Mode
from regrow.engine.calls import call_async, call_sync
from regrow.engine.streams import stream
from regrow.errors import NotInRun, UsageError
from regrow.journal.records import CallKind
from regrow.remedies import AskHuman
from regrow.values.options import OF_WORKERS, Options, merge

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
RecordedT = TypeVar("RecordedT", bound="Recorded[Any, Any]")


_CARRY_OUT: dict[Mode, Callable[[Invocation], Any]] = {"async": call_async, "sync": call_sync, "stream": stream}


class Recorded(Generic[P, R]):
    """A function whose calls are recorded inside a run, and are plain calls outside of one.

    It is called as the function is: what is synchronous stays so, what is awaited is awaited, what is iterated is
    iterated.
    """

    kind: ClassVar[CallKind]
    __regrow_ref__: str
    __wrapped__: Callable[P, R]

    def __init__(self, callee: Callee, ref: str, options: Options) -> None:
        """Made by `regrow.task` and `regrow.step`, not by users."""
        functools.update_wrapper(self, callee.function)
        self._callee = callee
        self._ref = ref
        self._options = options
        if callee.mode == "async":
            # Frameworks ask whether to await a callable; these two marks are how Python 3.11 and 3.12 look for the
            # answer.
            self._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)
            self._is_coroutine_mark = getattr(inspect, "_is_coroutine_mark", None)

    @property
    def name(self) -> str:
        """What its calls are called in paths."""
        return self._callee.name

    @property
    def ref(self) -> str:
        """Where it is defined, as ``module:qualname``."""
        return self._ref

    @property
    def callee(self) -> Callee:
        """What the engine knows of it."""
        return self._callee

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it: recorded inside a run, plainly outside of one."""
        branch = current_branch()
        callee = self._callee
        if branch is None:
            self._be_free()
            return self.__wrapped__(*args, **kwargs)
        if callee.options.approve is not None and callee.mode == "sync" and loop_is_running():
            raise UsageError(
                f"{callee.name} waits for a person's approval, and a plain call would block the event loop until that "
                f"is there; write `await {callee.name}.aio(…)`"
            )
        if callee.isolated and callee.mode == "sync" and loop_is_running():
            raise UsageError(
                f"{callee.name} runs in a worker process, and a plain call would block the event loop until that is "
                f"done; write `await {callee.name}.aio(…)`"
            )
        carry_out = _CARRY_OUT[callee.mode]
        return carry_out(Invocation(callee, branch, args, kwargs))  # type: ignore[no-any-return]

    @overload
    def aio(self: Recorded[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]: ...
    @overload
    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Any]:
        """Call it so that it can be awaited. A synchronous function runs in a thread meanwhile."""
        callee = self._callee
        if callee.mode == "stream":
            raise UsageError(f"{callee.name} is a stream: iterate it with `async for`")
        branch = current_branch()
        if branch is not None:
            return call_async(Invocation(callee, branch, args, kwargs))
        self._be_free()
        if callee.mode == "async":
            return self.__wrapped__(*args, **kwargs)  # type: ignore[return-value]
        return asyncio.to_thread(self.__wrapped__, *args, **kwargs)

    def _be_free(self) -> None:
        """Refuse to run without a run what nobody could then approve."""
        if self._callee.options.approve is not None:
            raise NotInRun(
                f"{self.name} must be approved before it runs, and outside of a run there is nobody to ask; "
                f"call it in a run, or {self.name}.__wrapped__ if that is what you want"
            )

    def override(self, **options: Any) -> Self:
        """Give the same function under other options.

        Raises:
            UsageError: an option is unknown, misread or contradicts another.
        """
        merged = merge(self._options, options, owner=f"{self.name}.override")
        check_options(self._callee.kind, self._callee.mode, merged, f"{self.name}.override")
        return type(self)(self._callee.with_options(merged), self._ref, merged)

    def __get__(self, instance: object, _owner: type | None = None) -> Any:
        """Bind to an instance, as a method does."""
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        """Show what it is and where it is from."""
        return f"<regrow {self.kind} {self._ref}>"


def make(cls: type[RecordedT], function: Any, base: Options, given: dict[str, Any]) -> RecordedT:
    """Make of a function that an author decorates what its decorator promises.

    Args:
        cls: what to make of it; says what its calls are recorded as.
        function: what is decorated.
        base: options that hold unless given.
        given: options as written.

    Raises:
        UsageError: it is no function, or of a kind that cannot be recorded, or the options are wrong.
    """
    word: str = cls.kind
    kind: CallKind = cls.kind
    if isinstance(function, Recorded):
        raise UsageError(f"{function.name} is already recorded; use .override(…) to change its options")
    if not callable(function) or isinstance(function, type):
        raise UsageError(f"@regrow.{word} decorates functions; {function!r} is a {type(function).__name__}")
    plain_name = getattr(function, "__name__", "")
    owner = f"@regrow.{word} on {plain_name or function!r}"
    options = merge(base, given, owner=owner)
    name = options.name or plain_name
    if not name.isidentifier() and not options.name:
        raise UsageError(f"{owner}: it has no name of its own to be recorded under; give it one with name=…")
    if inspect.isgeneratorfunction(function):
        raise UsageError(
            f"{owner}: a synchronous generator cannot be recorded; make it an async generator, or return a list"
        )
    mode: Mode = "async" if inspect.iscoroutinefunction(function) else "sync"
    if inspect.isasyncgenfunction(function):
        mode = "stream"
        if kind == "task":
            raise UsageError(f"{owner}: an async generator can be a step (@regrow.step), not a task")
        kind = "stream"
    check_options(kind, mode, options, owner)
    registry.learn(function)
    ref = f"{module_alias(function)}:{getattr(function, '__qualname__', name)}"
    callee = Callee(function, kind, mode, options, name, ref, partial(fingerprint, function))
    made = cls(callee, ref, options)
    made.__regrow_ref__ = ref
    registry.refer(ref, made)
    return made


def check_options(kind: CallKind, mode: Mode, options: Options, owner: str) -> None:
    """Refuse options that cannot be kept for a function of this kind.

    Raises:
        UsageError: says which, and what to do instead.
    """
    timed = options.timeout is not None or options.deadline is not None
    if kind != "task":
        if mode == "sync" and timed:
            raise UsageError(
                f"{owner}: a synchronous step cannot be stopped from inside its own process, so timeout= and deadline= "
                f"would not hold; make it `async def`, or a task, which then runs in a worker process"
            )
        defaults = Options()
        for name in OF_WORKERS:
            if getattr(options, name) != getattr(defaults, name):
                raise UsageError(
                    f"{owner}: {name}= is about a worker process, and a step runs in its caller's; make it a task"
                )
    elif options.on_oom is not None and options.memory is None:
        raise UsageError(f"{owner}: on_oom= raises a memory limit, and there is none; write memory= with it")
    elif not (options.is_limited or (mode == "sync" and timed)):
        defaults = Options()
        for name in ("priority", "on_preempted", "right_size"):
            if getattr(options, name) != getattr(defaults, name):
                raise UsageError(
                    f"{owner}: {name}= is about a worker process, and this task has none; write isolate=True with it"
                )
    if mode == "stream":
        _check_stream(options, owner)


def _check_stream(options: Options, owner: str) -> None:
    if options.approve is not None:
        raise UsageError(f"{owner}: a stream cannot wait for an approval; approve the task that reads it")
    if isinstance(options.on_failure, AskHuman):
        raise UsageError(f"{owner}: a stream cannot wait for a person; write on_failure=regrow.AskHuman() on its task")
    if options.cache is not None:
        raise UsageError(
            f"{owner}: a stream's values are handed out one by one, and the cache keeps whole results; "
            f"leave cache= out, or return a list"
        )
    if options.once:
        raise UsageError(f"{owner}: a stream may have to run again after a crash, so once=True cannot hold for it")


def storable(cls: type[T]) -> type[T]:
    """Allow a class in recorded values that no annotation of a task or step mentions. Usable as a decorator.

    Dataclasses, enums, pydantic models, named tuples, msgspec structs and exceptions can be stored. Those that
    annotations mention, or that the module of a task or step knows by name, are allowed already.
    """
    registry.allow(cls)
    return cls
