"""Opening a run: making it, or finding the one that has its key, and taking it up."""

from __future__ import annotations

import hashlib
import inspect
import time
from pathlib import Path
from typing import Any

from regrow.authoring.home import project_of
from regrow.authoring.recorded import Recorded
from regrow.authoring.task import Task
from regrow.codec import digest_inputs
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.engine.news import Observer
from regrow.engine.state import fold
from regrow.errors import KeyConflict, RunOver, UsageError
from regrow.journal.chain import unseal_all
from regrow.journal.records import RunCreated
from regrow.journal.store import NewRun, RunRow
from regrow.values.ids import new_run_id
from regrow.values.policies import Budget


def open_run(
    host: Host,
    task: Task[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    key: str | None = None,
    strict: bool = False,
    budget: Budget | None = None,
    project: str | None = None,
    observers: tuple[Observer, ...] = (),
) -> Driver | RunRow:
    """Create a run, or find the one that has this key.

    Returns:
        A driver that is ready to go on with it; or, if it has ended already, its row.

    Raises:
        UsageError: this cannot be run.
        NotStorable: an argument has no durable form.
        KeyConflict: the key belongs to a run of another task or with other inputs.
        RunHeld: another live process drives it.
        RunPaused: somebody has paused it.
        RunStopped: somebody has stopped everything.
    """
    _check_runnable(task, key, budget)
    callee = task.callee
    inputs = digest_inputs(callee.inputs(args, kwargs), allow_opaque=False, where=callee.name)
    kept = host.vault.keep((args, kwargs), callee.name)
    now, name = time.time(), project_of(project)
    if key is None or host.store.by_key(name, key) is None:
        host.refuse_if_stopped(name)  # before there is a run that nothing was ever done for
    fresh = new_run_id(now, key=key)
    row = host.store.create(NewRun(fresh, task.ref, now, key, name))
    if row.id != fresh:
        _check_same(host, row, task, inputs.digest)
        if row.outcome is not None:
            return row
    source = source_of(callee.function)
    created = RunCreated(
        row.id,
        task.ref,
        source,
        kept.value,
        inputs.digest,
        key,
        row.project,
        budget=None if budget is None else budget.bounds,
        code=digest_of_source(source),
    )
    try:
        return host.take_up(row.id, created=created, created_blobs=kept.blobs, strict=strict, observers=observers)
    except RunOver:  # another process has ended it since we looked
        return host.store.get(row.id)


def _check_runnable(task: object, key: object, budget: object) -> None:
    if not isinstance(task, Task):
        name = getattr(task, "__name__", repr(task))
        what = "a step" if isinstance(task, Recorded) else "not a task"
        raise UsageError(f"a run is a run of a task, and {name} is {what}; decorate it with @regrow.task")
    if key is not None and not (isinstance(key, str) and key):
        raise UsageError(f"key= is a name for the run, and must be text that is not empty; it is {key!r}")
    if budget is not None and not isinstance(budget, Budget):
        raise UsageError(f"budget= takes regrow.Budget(attempts, memory, wall_time); it is {budget!r}")


def _check_same(host: Host, row: RunRow, task: Task[..., Any], digest: bytes) -> None:
    created = fold(unseal_all(row.id, host.store.read(row.id, limit=1))).created
    way_on = f"`regrow resume {row.id}` goes on with that one, new work needs a key of its own"
    if row.task != task.ref:
        raise KeyConflict(row.id, f"key {row.key!r} is that of run {row.id} of {row.task}, not of {task.ref}; {way_on}")
    if created is not None and created.digest != digest:
        raise KeyConflict(row.id, f"key {row.key!r} is that of run {row.id} of {row.task} with other inputs; {way_on}")


def source_of(function: Any) -> str:
    """Give the file that a task is written in, so that the command line can find it again; empty for a notebook's."""
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        return ""
    return str(Path(file).absolute()) if file and Path(file).exists() else ""


def digest_of_source(source: str) -> str:
    """Give the SHA-256 of a source file, in hexadecimal; empty if it cannot be read."""
    try:
        return hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else ""
    except OSError:
        return ""
