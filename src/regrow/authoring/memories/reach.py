"""How code reaches a memory: inside a run through recorded calls, outside of one at the store itself.

What a recorded read keeps is not what was read, but the version at which it was. Versions never change, so a replay
reads the same again; and a dialogue that is read at every step costs the journal a few bytes each time.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from regrow.authoring.home import StoreLike, host_of, project_of
from regrow.engine.branches import current_branch
from regrow.engine.callee import Callee, Invocation
from regrow.engine.calls import call_sync
from regrow.engine.lineage import bases_of, own_memory
from regrow.engine.scope import Scope
from regrow.engine.vault import Kept, Vault
from regrow.errors import StoreError, UsageError
from regrow.journal.memories import Change, Guard, Memories, Origin, Pin
from regrow.journal.presence import actor
from regrow.journal.records import Value
from regrow.values.options import Options


class Reach:
    """A way to the memories of one project, from inside a run or from outside.

    Attributes:
        memories: where they are.
        project: to which they belong.
        scope: the call in which the code is; None outside of runs.
    """

    def __init__(self, memories: Memories, vault: Vault, project: str, scope: Scope | None = None) -> None:
        """Reach memories through their store, or through a run's driver."""
        self.memories = memories
        self.project = project
        self.scope = scope
        self._vault = vault

    def real_name(self, memory: str) -> str:
        """Give the memory that is meant by a name here; a fork of a run makes its own when it first means one."""
        if self.scope is None:
            return memory
        driver = self.scope.driver
        forked = driver.log.state.forked
        name = own_memory(forked, driver.run, memory)
        if name != memory:
            self._begin(name, bases_of(forked, memory), forked.memories if forked is not None else {})
        return name

    def _begin(self, name: str, bases: Sequence[tuple[str, float]], seen: Mapping[str, int]) -> None:
        """Let a memory begin as the first of these that was there was, at its moment, and no older than it was seen."""
        with self.store() as memories:
            if memories.head(self.project, name).version:
                return
            for base, moment in bases:
                pin = self._as_of(memories, base, moment, seen.get(base, 0))
                if pin is not None:
                    self.write(name, [Change("fork", base=pin)], once=f"begin {name}")
                    return

    def _as_of(self, memories: Memories, memory: str, moment: float, seen: int) -> Pin | None:
        head = memories.head(self.project, memory)
        written = [one.version for one in memories.history(self.project, head) if one.origin.time <= moment]
        version = max(seen, written[-1] if written else 0)
        return memories.pin(self.project, memory, version) if version else None

    def keep(self, value: object, where: str) -> Kept:
        """Make a value ready to be written."""
        return self._vault.keep(value, where) if self.scope is None else self.scope.driver.keep(value, where)

    def load(self, value: Value) -> Any:
        """Give a value that was written."""
        return self._vault.load(value) if self.scope is None else self.scope.driver.load(value)

    @contextmanager
    def store(self) -> Iterator[Memories]:
        """Ask the store. Inside a run its troubles are no step's failure: the run cannot go on before they are over."""
        try:
            yield self.memories
        except StoreError as problem:
            if self.scope is None:
                raise
            raise self.scope.driver.halt(problem) from problem

    def write(
        self,
        memory: str,
        changes: Sequence[Change],
        guard: Guard | None = None,
        *,
        by: str = "",
        source: str = "",
        once: str = "",
    ) -> Pin:
        """Write a version for each change, all or none; inside a run once, however often its call is carried out.

        Args:
            memory: the memory's real name.
            changes: what to write.
            guard: what must hold.
            by: who writes, where that is not the task.
            source: where it comes from.
            once: names the write within its run; else the call does.

        Raises:
            Conflict: the guard does not hold.
        """
        if self.scope is None:
            origin = Origin("", "", by or actor(), source, time.time())
            with self.store() as memories:
                return memories.write(self.project, memory, changes, origin, guard=guard)
        scope, driver = self.scope, self.scope.driver
        origin = Origin(driver.run, scope.path, by or scope.task, source, driver.now())
        # With the inputs: code that was edited while the outcome of its write was lost in a crash wants another write.
        digest = scope.call.digest if scope.call is not None else b""
        name = f"{driver.run} {once}".encode() if once else scope.idempotency_key.encode() + digest
        once = hashlib.sha256(name).hexdigest()[:32]
        with self.store() as memories:
            return memories.write(
                self.project,
                memory,
                changes,
                origin,
                run=driver.run,
                epoch=driver.log.epoch,
                guard=guard,
                once=once,
            )


def reach_outside(store: StoreLike, project: str | None) -> Reach:
    """Reach the memories of a store from outside of runs."""
    host = host_of(store)
    return Reach(host.store.memories, host.vault, project_of(project))


def reach_inside() -> Reach | None:
    """Reach the memories of the run that the code is in; None outside of runs."""
    branch = current_branch()
    if branch is None:
        return None
    driver = branch.scope.driver
    return Reach(driver.around.memories, driver.vault, driver.project, branch.scope)


class Recorded:
    """Something that code does with a memory, which inside a run is a recorded call.

    Its function takes a reach, and then what the call is recorded with.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        """Record it under a name."""

        def body(*args: Any, **kwargs: Any) -> Any:
            reach = reach_inside()
            assert reach is not None  # noqa: S101 - the engine has just made the call
            return function(reach, *args, **kwargs)

        signature = inspect.signature(function)
        shown = signature.replace(parameters=list(signature.parameters.values())[1:])
        body.__signature__ = shown  # type: ignore[attr-defined]
        self._callee = Callee(body, "memory", "sync", Options(), name)
        self._function = function

    def __call__(self, outside: Callable[[], Reach], *args: Any, **kwargs: Any) -> Any:
        """Do it, inside a run or outside."""
        branch = current_branch()
        if branch is None:
            return self._function(outside(), *args, **kwargs)
        return call_sync(Invocation(self._callee, branch, args, kwargs))


def plain(pin: Pin) -> list[Any]:
    """Give a pin as it is recorded."""
    return [pin.memory, pin.version, pin.hash]


def check_name(name: str) -> str:
    """Let a memory be named by printable text, such as ``customers/42``.

    Raises:
        UsageError: it is none.
    """
    if not name.strip() or not name.isprintable():
        raise UsageError(f"a memory's name is printable text that is not empty, such as 'customers/42'; it is {name!r}")
    return name
