"""Work in progress, saved: what one task can go on from when its attempt is cut short.

A checkpoint is no call. It is state of an attempt, and the next attempt, in this process or another, finds what was
saved last. The calls that the task had made until then count as made: the code will not make them again.
"""

from __future__ import annotations

import threading
from typing import Any

from regrow.engine.branches import Branch
from regrow.engine.scope import Scope
from regrow.journal.records import CheckpointSaved

_INLINE_BYTES = 1024
"""Above this a checkpoint becomes a blob, which is let go of when the next one is saved. In a record it would stay."""

_saving = threading.Lock()


def task_of(branch: Branch) -> Scope:
    """Give the innermost task that a branch is in."""
    scope = branch.scope
    while scope.outer is not None and scope.call is not None and scope.call.kind != "task":
        scope = scope.outer
    return scope


def save(branch: Branch, value: object) -> None:
    """Save work in progress, durably and at once: what was there before is there until this is.

    Raises:
        NotStorable: the value has no durable form.
        StoreUnavailable: it could not be stored.
    """
    scope = task_of(branch)
    driver = scope.driver
    kept = driver.keep(value, "checkpoint", inline_bytes=_INLINE_BYTES)
    with _saving:
        before = driver.checkpoint_of(scope.path)
        number = before.number + 1 if before is not None else 1
        event = CheckpointSaved(
            scope.path, scope.attempt, number, kept.value, kept.blobs, branch.prefix, *branch.reached
        )
        driver.durable_in_thread(driver.record(event, None, kept.blobs))
    driver.drop(before)


def load(branch: Branch) -> tuple[bool, Any]:
    """Give what was saved last, and whether there was anything; the branch goes on from there."""
    scope = task_of(branch)
    driver = scope.driver
    known = driver.log.state.calls.get(scope.path)
    saved = known.checkpoint if known is not None else None
    if known is None or saved is None:
        return False, None
    if saved.branch == branch.prefix and branch.reached[2] < saved.position:
        branch.go_on_from(saved.calls, saved.strands, saved.position)
        driver.pass_over_until(scope.path, known.saved_at)
    return True, driver.load(saved.value)
