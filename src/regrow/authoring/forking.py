"""Making a fork of a run: a new run that has a part of another one's journal, and goes its own way from there."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from regrow.authoring.home import StoreLike, host_of, project_of
from regrow.authoring.task import Task
from regrow.codec import digest_inputs
from regrow.engine.forking import Copied, Fork, NewInputs, paths_of, plan_fork
from regrow.engine.host import Host
from regrow.engine.vault import INPUT_BYTES, Kept
from regrow.errors import KeyConflict, StoreError, UsageError
from regrow.journal.chain import seal, unseal_all
from regrow.journal.presence import actor
from regrow.journal.records import CallSucceeded, CheckpointSaved, Record
from regrow.journal.store import Entry, NewRun, RunRow
from regrow.values.ids import new_run_id
from regrow.values.options import unknown


def fork(
    run: str,
    *,
    at: str = "",
    replace: Mapping[str, object] | None = None,
    key: str | None = None,
    store: StoreLike = None,
    project: str | None = None,
) -> str:
    """Make a new run out of what a run had recorded up to a call. Nothing is executed yet.

    What is shared is not copied: large values stay where they are, and both runs hold them. To go on with the fork,
    resume it (``regrow resume``), or run its task with the fork's key.

    Args:
        run: the id of the run, or its key.
        at: path of the first call that the fork makes afresh, as ``regrow show --full`` gives it, or its end. Without
            it, all is kept that comes before the first call in `replace` has been made.
        replace: results that calls are to have had, by their paths.
        key: names the fork.
        store: where the run is; ``.regrow/`` in the working directory unless ``REGROW_HOME`` says otherwise.
        project: the project that the key belongs to; ``default`` unless ``REGROW_PROJECT`` says otherwise.

    Returns:
        The id of the fork.

    Raises:
        UnknownRun: there is no such run.
        UsageError: no such call is recorded, or it has no result that could be replaced.
        NotStorable: a result that was given has no durable form.
        KeyConflict: the key is that of another run.
    """
    host = host_of(store)
    if not at and not replace:
        raise UsageError("regrow.fork needs at=, the first call to be made afresh, or replace=, other results")
    given = {path: host.vault.keep(value, path) for path, value in (replace or {}).items()}
    row = host.store.by_key(project_of(project), run) or host.store.get(run)
    return make_fork(host, row, at=at, replaced=given, key=key)


def make_fork(
    host: Host,
    row: RunRow,
    *,
    at: str = "",
    replaced: Mapping[str, Kept] | None = None,
    inputs: tuple[NewInputs, tuple[str, ...]] | None = None,
    key: str | None = None,
) -> str:
    """Make a fork; calls may be named by the ends of their paths.

    Args:
        host: where the run is.
        row: the run.
        at: see `fork`.
        replaced: see `fork`.
        inputs: the run's other inputs, and the blobs that these need.
        key: see `fork`.
    """
    records = unseal_all(row.id, host.store.read(row.id))
    paths = list(paths_of(records))
    given = {full_path(paths, path): kept for path, kept in (replaced or {}).items()}
    start = full_path(paths, at) if at else _first(paths, given)
    now = time.time()
    planned = plan_fork(
        records,
        new_run_id(now, key=key),
        key=key,
        at=start,
        replaced={path: kept.value for path, kept in given.items()},
        inputs=inputs[0] if inputs is not None else None,
    )
    blobs = {*host.store.referenced_blobs(row.id), *(inputs[1] if inputs is not None else ())}
    for kept in given.values():
        blobs.update(kept.blobs)
    planned, saved = _with_checkpoints(host, planned)
    return _write(host, row, planned, tuple(sorted(blobs | saved)), now)


def _with_checkpoints(host: Host, planned: Fork) -> tuple[Fork, set[str]]:
    """Let each task go on from what it had saved last, if that is still there, and else from its beginning.

    The other run lets go of a checkpoint when the next one is saved, and of the last one when the task has succeeded.
    """
    last = {one.event.path: one.event for one in planned.copied if isinstance(one.event, CheckpointSaved)}
    for one in planned.copied:
        if isinstance(one.event, CallSucceeded):
            last.pop(one.event.call.path, None)
    there = {path for path, saved in last.items() if all(_is_there(host, digest) for digest in saved.blobs)}
    copied = tuple(
        one for one in planned.copied if not isinstance(one.event, CheckpointSaved) or one.event.path in there
    )
    return msgspec.structs.replace(planned, copied=copied), {blob for path in there for blob in last[path].blobs}


def _is_there(host: Host, digest: str) -> bool:
    try:
        host.store.blobs.path_of(digest)
    except StoreError:
        return False
    return True


def full_path(paths: Sequence[str], typed: str) -> str:
    """Find the recorded call that somebody means by its path or the end of that.

    Raises:
        UsageError: there is none, or more than one.
    """
    if "#" not in typed.rpartition("/")[2]:  # the first of its name is shown without its number
        typed = f"{typed}#1"
    if typed in paths:
        return typed
    found = [path for path in paths if path.endswith(f"/{typed}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{typed!r} fits {len(found)} calls: {', '.join(found[:5])}; type more of the path")
    raise UsageError(f"no call {typed!r} is recorded; `regrow show RUN --full` lists them")


def changed_inputs(
    host: Host, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], changes: Mapping[str, object]
) -> tuple[NewInputs, tuple[str, ...]]:
    """Give a run's inputs with some of them changed, and the blobs that they need.

    Raises:
        UsageError: the task has no such parameter.
        NotStorable: an input has no durable form.
    """
    callee = task.callee
    bound = callee.signature.bind(*args, **kwargs)
    for name, value in changes.items():
        if name not in callee.signature.parameters:
            raise UsageError(f"{task.name}: {unknown('parameter', name, list(callee.signature.parameters))}")
        bound.arguments[name] = value
    digested = digest_inputs(callee.inputs(bound.args, bound.kwargs), allow_opaque=False, where=callee.name)
    kept = host.vault.keep((bound.args, bound.kwargs), callee.name)
    shown = digested.data if digested.data is not None and len(digested.data) <= INPUT_BYTES else b""
    return NewInputs(kept.value, digested.digest, shown, tuple(changes)), kept.blobs


def _first(paths: Sequence[str], replaced: Mapping[str, Kept]) -> str:
    """Give the earliest of the calls that get another result: what came after it followed from the former one."""
    return next((path for path in paths if path in replaced), "")


def _write(host: Host, row: RunRow, planned: Fork, blobs: tuple[str, ...], now: float) -> str:
    # The project may be another one than that under which the original began: it may have been imported.
    created = msgspec.structs.replace(planned.created, project=row.project)
    made = host.store.create(NewRun(created.run, row.task, now, created.key, row.project))
    if made.id != created.run:
        raise KeyConflict(made.id, f"key {created.key!r} is that of run {made.id}; give the fork another one")
    epoch = host.store.claim(created.run, f"{actor()} pid {os.getpid()} forking")
    who = actor()
    entries: list[Entry] = []
    previous = b""
    for one in (Copied(now, who, created), Copied(now, who, planned.forked), *planned.copied):
        stored = seal(Record(len(entries) + 1, one.time, one.actor, epoch, previous, one.event))
        previous = stored.hash
        entries.append(Entry(created.run, epoch, stored, blobs if not entries else (), time=one.time))
    try:
        host.store.append(entries)
    finally:
        host.store.release(created.run, epoch)
    return created.run
