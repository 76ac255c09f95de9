"""What stands in the way of a run, or has ended it."""

from __future__ import annotations

from datetime import datetime

from regrow.errors.root import RegrowError


class RunError(RegrowError):
    """Something about one run.

    Attributes:
        run: the run's id (or what the user typed for it).
    """

    def __init__(self, run: str, message: str) -> None:
        super().__init__(message)
        self.run = run


class UnknownRun(RunError, LookupError):
    """The store has no such run."""


class KeyConflict(RunError):
    """The key belongs to a run of another task, or with other inputs."""


class RunHeld(RunError):
    """Another live process drives the run.

    Attributes:
        holder: who, as ``user@host pid N``.
    """

    def __init__(self, run: str, holder: str) -> None:
        super().__init__(run, f"run {run} is being driven by {holder}")
        self.holder = holder


class RunOver(RunError):
    """The run has ended already, and is not to be tried again."""


class LeaseLost(RunError):
    """Another driver took the run over; this one can no longer append to its journal."""


class RunCancelled(RunError):
    """The run was cancelled."""


class RunPaused(RunError):
    """The run is paused: nothing of it goes on until somebody resumes it.

    Attributes:
        by: who has paused it.
        since: when, in seconds since the epoch.
    """

    def __init__(self, run: str, by: str, since: float) -> None:
        super().__init__(run, f"run {run} is paused, by {by} since {_moment(since)}; go on with: regrow resume {run}")
        self.by = by
        self.since = since


class RunStopped(RunError):
    """Somebody has stopped all runs of a project, or of the whole store; none is begun or gone on with.

    Attributes:
        by: who.
        since: when, in seconds since the epoch.
        reason: why, in their words; may be empty.
        project: the project; empty for the whole store.
    """

    def __init__(self, run: str, by: str, since: float, reason: str, project: str) -> None:
        what, option = (f"project {project!r}", f"--project {project}") if project else ("this store", "--all")
        said = f" ({reason})" if reason else ""
        super().__init__(
            run,
            f"nothing of {what} may run: it was stopped by {by} at {_moment(since)}{said}; "
            f"lift that with: regrow stop --lift {option}",
        )
        self.by = by
        self.since = since
        self.reason = reason
        self.project = project


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
