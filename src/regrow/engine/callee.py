"""What the engine needs to know of a function that an author has made a task or a step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from regrow.engine.branches import Branch
from regrow.errors import UsageError
from regrow.journal.records import CallKind
from regrow.values.options import Options, unknown

Mode = Literal["sync", "async", "stream"]


class Callee:
    """A function, the way it is called, and the options under which it is.

    Attributes:
        function: what the author wrote.
        kind: what its calls are recorded as.
        mode: whether it returns, is awaited, or is iterated.
        name: what its calls are called in paths.
        ref: where it is defined, as ``module:qualname``; empty for what only the engine calls.
        options: how its calls are carried out.
        reconciler: the function that knows what became of a once-only call, if there is one.
        fingerprint: gives a digest of the code that its result depends on, without globals that are named to it; None
            for what is never shared.
    """

    __slots__ = (
        "_defaults",
        "_expected",
        "_names",
        "_plain",
        "_required",
        "fingerprint",
        "function",
        "kind",
        "mode",
        "name",
        "options",
        "reconciler",
        "ref",
        "signature",
    )

    def __init__(  # noqa: PLR0917 - what a function is
        self,
        function: Callable[..., Any],
        kind: CallKind,
        mode: Mode,
        options: Options,
        name: str,
        ref: str = "",
        fingerprint: Callable[[Collection[str]], bytes] | None = None,
    ) -> None:
        """Read the function's signature once; calls are many."""
        self.ref = ref
        self.fingerprint = fingerprint
        self.function = function
        self.kind: CallKind = kind
        self.mode: Mode = mode
        self.options = options
        self.name = name
        self.reconciler: Callee | None = None
        if options.reconcile is not None:
            asked: Mode = "async" if inspect.iscoroutinefunction(options.reconcile) else "sync"
            if asked == "async" and mode == "sync":
                raise UsageError(f"{name}: reconcile= of a synchronous function must be synchronous too")
            self.reconciler = Callee(options.reconcile, kind, asked, Options(), name)
        try:
            self.signature = inspect.signature(function)
        except ValueError:
            raise UsageError(f"{name} does not say what arguments it takes; wrap it in a function that does") from None
        parameters = self.signature.parameters.values()
        self._plain = all(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters)
        self._names = tuple(one.name for one in parameters)
        self._defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
        self._expected = frozenset(self._names)
        self._required = self._expected - self._defaults.keys()

    @property
    def isolated(self) -> bool:
        """Whether it runs in a worker process of its own.

        A task does that declares a limit, since only a process can be held to one; and so does a synchronous task with
        a timeout, since nothing inside its own process could stop it.
        """
        if self.kind != "task":
            return False
        timed = self.options.timeout is not None or self.options.deadline is not None
        return self.options.is_limited or (timed and self.mode == "sync")

    def with_options(self, options: Options) -> Callee:
        """Give the same function under other options."""
        name = options.name or self.name
        return Callee(self.function, self.kind, self.mode, options, name, self.ref, self.fingerprint)

    def inputs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Give the inputs of a call by parameter: equal calls give equal inputs, however they are written.

        What equals its default is left out. So a parameter that is added later, with a default, changes no call that
        was recorded before; that is the most common edit there is.

        Raises:
            UsageError: the function cannot be called like this.
        """
        names = self._names
        if self._plain:
            given = dict(zip(names, args, strict=False))
            given.update(kwargs)
            complete = not kwargs and len(args) == len(names)
            if complete or (len(given) == len(args) + len(kwargs) and self._expected >= given.keys() >= self._required):
                return self._without_defaults(given) if self._defaults else given
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as problem:
            raise UsageError(
                f"{self.name}{self.signature} cannot be called so: {self._explain(kwargs, problem)}"
            ) from None
        return self._without_defaults(bound.arguments)

    def _without_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if not _is_default(value, self._defaults.get(name, _NONE))}

    def _explain(self, kwargs: Mapping[str, Any], problem: TypeError) -> str:
        strange = [name for name in kwargs if name not in self._names]
        return unknown("argument", strange[0], self._names) if strange else str(problem)


_NONE = object()
_COMPARABLE = (str, int, float, bool, bytes, type(None))


def _is_default(value: object, default: object) -> bool:
    """Tell whether a value is a parameter's default. Only plain ones are compared: arrays, for one, have no truth."""
    return value is default or (type(value) is type(default) and isinstance(value, _COMPARABLE) and value == default)


class Invocation:
    """A call as the code makes it, before anything is known of it.

    Attributes:
        callee: what is called.
        branch: which strand calls.
        path: the place that the branch gave the call when it was made.
        position: the how-manieth call of the branch it is.
        args: as the caller wrote them.
        kwargs: likewise.
    """

    __slots__ = ("args", "branch", "callee", "kwargs", "path", "position")

    def __init__(self, callee: Callee, branch: Branch, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Take the next place in a branch."""
        self.callee = callee
        self.branch = branch
        self.path, self.position = branch.place(callee.name)
        self.args = args
        self.kwargs = kwargs
