"""Checkpoints, as users see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regrow.engine import checkpoints
from regrow.engine.branches import current_branch
from regrow.errors import NotInRun
from regrow.values.files import Dir, File


class Checkpoint:
    """The running task's work in progress; see `checkpoint`."""

    def load(self, default: Any = None) -> Any:
        """Give what was saved last, in this attempt or an earlier one; `default` if nothing was.

        What was saved as a path comes back as a `regrow.File` or `regrow.Dir`.

        Raises:
            NotInRun: the code is not inside a run.
        """
        there, value = checkpoints.load(_branch())
        return value if there else default

    def save(self, value: object) -> None:
        """Save work in progress, in place of what was saved before. Durable when this returns; never half of it.

        Args:
            value: anything that a task could return; or the path of a file or folder, of which a copy is kept.

        Raises:
            NotInRun: the code is not inside a run.
            NotStorable: the value has no durable form.
            StoreUnavailable: there is no room for it, or no way to it.
        """
        branch = _branch()
        if isinstance(value, Path):
            value = Dir(value) if value.is_dir() else File(value)
        checkpoints.save(branch, value)

    def __repr__(self) -> str:
        """Show what it is."""
        return "<regrow checkpoint of the running task>"


def checkpoint() -> Checkpoint:
    """Give the running task's checkpoint: what it saves there outlives the attempt, a preemption and a ``kill -9``.

    Dropped when the task has succeeded.

    Raises:
        NotInRun: the code is not inside a run.
    """
    _branch()
    return Checkpoint()


def _branch() -> Any:
    branch = current_branch()
    if branch is None:
        raise NotInRun(
            "regrow.checkpoint() needs a run around it: call it inside a task that was started by regrow.run"
        )
    return branch
