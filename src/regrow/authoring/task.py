"""Tasks: the units of an agent's work, and what a run is a run of.

Reading regrow from its records upwards ends here, where a user begins: a task is a function, called like any other,
whose call is looked up in the journal, and executed and recorded if it is not there (`regrow.engine.driver`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from regrow.authoring.recorded import P, R, Recorded, make
from regrow.authoring.step import Step
from regrow.values.options import Options, merge


class Task(Recorded[P, R]):
    """A function made a task by `regrow.task`."""

    kind = "task"


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Make a function a task: something a run can be a run of, and other tasks can call.

    Inside a run each call is recorded once, with all its attempts. Outside of one it is the plain function.

    Args:
        function: what is decorated, when written without options.
        options: any of

            * ``name``: what its calls are called in paths; the function's own name otherwise.
            * ``retries``: how many further attempts follow a failed one; none otherwise.
            * ``backoff``: a `regrow.Backoff`; waits of 1, 2, 4, … up to 60 seconds otherwise.
            * ``timeout``: what one attempt may take: seconds, ``"10m"``, or a timedelta. A synchronous task gets a
              worker process for it, because nothing inside its own process could stop it.
            * ``deadline``: what all attempts together may take, counted from the first; or a moment, as a datetime.
            * ``once``: execute at most once. If a crash hides the outcome, the run stops with `regrow.OutcomeUnknown`
              until ``reconcile`` or a person says what happened.
            * ``reconcile``: a function with the same arguments that looks up what became of a once-only call, and
              returns `regrow.Happened`, `regrow.DidNotHappen`, or None if it cannot tell either.
            * ``cache``: True, or a `regrow.Cache`: an equal call of any run is executed once, and answers the others.
            * ``approve``: True, or a `regrow.Approve`: a person must approve each call, with its arguments, before it
              runs. If not, the caller is raised `regrow.Denied`.
            * ``memory``: bytes, or ``"256Mi"``: what its worker and all that this starts may use, above what the worker
              began with. This, and each of the next eight, gives every attempt a worker process of its own.
            * ``cpu``: processors that are kept free for it; also how many threads numeric libraries use.
            * ``gpu``: devices that it alone sees.
            * ``disk``: what it may keep in its scratch folder, ``regrow.current().scratch``.
            * ``output``, ``processes``: what it may print (64 MiB), how many processes it may have (128).
            * ``isolate``: a worker process even without a limit.
            * ``env``: its environment variables, besides a few that all workers have.
            * ``secrets``: names of environment variables that it is handed; they are never recorded or logged.
            * ``priority``: when the host is full, tasks with a higher one are placed first.
            * ``on_oom``: `regrow.grow`: more memory after each out-of-memory.
            * ``on_preempted``: `regrow.resume`: how often it begins again after a preemption.
            * ``on_failure``: a function that is given the `regrow.Failure` and returns a remedy, or None.
            * ``budget``: a `regrow.Budget`: what all this may cost.
            * ``right_size``: begin with the memory that earlier runs have needed, where it may grow at all (yes).

    Raises:
        UsageError: an option is unknown or cannot hold here.
    """
    if function is None:
        return lambda decorated: make(Task, decorated, Options(), options)
    return make(Task, function, Options(), options)


class Environment:
    """Options that several tasks share.

    Attributes:
        name: what the group is called, in errors and in `repr`.
    """

    def __init__(self, name: str, **options: Any) -> None:
        """Name a group of tasks and say what holds for each unless it says otherwise.

        Raises:
            UsageError: an option is unknown or misread.
        """
        self.name = name
        self._options = merge(Options(), options, owner=f"regrow.Environment({name!r})")

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Do what `regrow.task` does, under this environment's options."""
        if function is None:
            return lambda decorated: make(Task, decorated, self._options, options)
        return make(Task, function, self._options, options)

    @overload
    def step(self, function: Callable[P, R], /) -> Step[P, R]: ...
    @overload
    def step(self, /, **options: Any) -> Callable[[Callable[P, R]], Step[P, R]]: ...
    def step(self, function: Any = None, /, **options: Any) -> Any:
        """Do what `regrow.step` does, under this environment's options."""
        if function is None:
            return lambda decorated: make(Step, decorated, self._options, options)
        return make(Step, function, self._options, options)

    def __repr__(self) -> str:
        """Show the environment's name."""
        return f"<regrow environment {self.name}>"
