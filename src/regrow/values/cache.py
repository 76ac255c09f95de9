"""What an author says about sharing a call's outcome with other calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import msgspec

from regrow.errors import UsageError
from regrow.values.durations import Duration, seconds

CacheScope = Literal["project", "global", "run"]
"""Among whose runs outcomes are shared: those of one project, all in the store, or within a single run."""


class Cache(msgspec.Struct, frozen=True):
    """Share the outcome of equal calls among runs: for ``cache=`` of tasks and steps. ``cache=True`` is ``Cache()``.

    Calls are equal if task or step, its inputs, and all code of the user's own that it can reach are the same; what
    that covers is in docs/cache.md.

    Attributes:
        version: changes what calls are equal to, for what cannot be seen: another model behind a service, a table that
            was reloaded. Text or a whole number.
        max_age: what was computed longer ago does not count; any `Duration`, kept as seconds. None for any age.
        scope: among whose runs; see `CacheScope`.
        ignore: names of parameters that make no difference, such as a client; and of globals that its code reads, such
            as a counter.
        key: is called with the inputs of the call, and gives what stands for them instead.
        failures: share failures of the code as well. Those of machines and networks are never shared.

    Raises:
        UsageError: a part of it is out of range.
    """

    version: str | int = ""
    max_age: Duration | None = None
    scope: CacheScope = "project"
    ignore: tuple[str, ...] = ()
    key: Callable[..., object] | None = None
    failures: bool = False

    def __post_init__(self) -> None:
        """Read what was written, and refuse what could not be meant."""
        given: object = self.version
        if not isinstance(given, str | int) or isinstance(given, bool):
            raise UsageError(f"Cache(version=…) is text or a whole number; it is {given!r}")
        if self.max_age is not None:
            msgspec.structs.force_setattr(self, "max_age", seconds(self.max_age, what="Cache(max_age=…)"))
        if self.scope not in get_args(CacheScope):
            raise UsageError(f"Cache(scope=…) is 'project', 'global' or 'run'; it is {self.scope!r}")
        ignored: object = self.ignore
        names = (ignored,) if isinstance(ignored, str) else ignored
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise UsageError(f"Cache(ignore=…) takes names of parameters and globals; it is {self.ignore!r}")
        msgspec.structs.force_setattr(self, "ignore", tuple(names))
        if self.key is not None and not callable(self.key):
            raise UsageError(f"Cache(key=…) takes a function of the call's inputs; it is {self.key!r}")
        if not isinstance(self.failures, bool):
            raise UsageError(f"Cache(failures=…) takes True or False; it is {self.failures!r}")

    @property
    def max_seconds(self) -> float | None:
        """`max_age` as a number."""
        return None if self.max_age is None else seconds(self.max_age)
