"""The ways out of a failure, as values: what a policy returns, a model or a person chooses, and the journal records.

They lie below the errors, because a failure lists those that fit it (`regrow.errors.Failure.remedies`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from regrow.amounts import readable_size


class Grow(msgspec.Struct, frozen=True, tag="grow", omit_defaults=True):
    """Give the task more of what it ran out of, and let it go on, or begin again where it cannot be held.

    Attributes:
        memory: the new limit in bytes; None to leave it.
        disk: likewise, for its scratch folder.
        output: likewise, for what it may print.
        processes: how many processes it may have; None to leave it.
    """

    memory: int | None = None
    disk: int | None = None
    output: int | None = None
    processes: int | None = None


class Extend(msgspec.Struct, frozen=True, tag="extend"):
    """Begin again, with this many seconds for one attempt."""

    timeout: float


class Resume(msgspec.Struct, frozen=True, tag="resume"):
    """Begin again at once, from the task's last checkpoint if it has one. Does not count against its retries."""


class RetryAfter(msgspec.Struct, frozen=True, tag="retry"):
    """Begin again after so many seconds."""

    seconds: float = 0.0


class Fallback(msgspec.Struct, frozen=True, tag="fallback"):
    """Let another task, or step, answer in its place: it is called with the same arguments.

    Attributes:
        task: what `regrow.task` or `regrow.step` made; recorded by its name.
    """

    task: object


class GiveUp(msgspec.Struct, frozen=True, tag="give-up"):
    """Hand the failure to the code that made the call."""


class AskHuman(msgspec.Struct, frozen=True, tag="ask-human", omit_defaults=True):
    """Put the failure, its evidence and the ways out of it to a person, who says what to do.

    They may choose a way out, edit the inputs, supply the result, hand the failure to the code, or stop the run.

    Attributes:
        to: who may answer; anybody if left out.
        timeout: how long to wait: seconds, ``"2d"``, or a timedelta; for ever if left out. After that the failure is
            handed to the code.
        remind: how often to remind them.
    """

    to: Any = ()
    timeout: Any = None
    remind: Any = None


Remedy = Grow | Extend | Resume | RetryAfter | Fallback | GiveUp | AskHuman
"""Any of them."""


def described(remedy: Remedy) -> str:
    """Say in a few words what a remedy does."""
    match remedy:
        case Grow():
            given = {name: value for name, value in msgspec.structs.asdict(remedy).items() if value is not None}
            parts = [
                f"{name} to {value if name == 'processes' else readable_size(value)}" for name, value in given.items()
            ]
            return f"Grow: raise {', '.join(parts)}" if parts else "Grow"
        case Extend(timeout=timeout):
            return f"Extend: begin again with {timeout:g} s"
        case Resume():
            return "Resume: begin again, from the last checkpoint"
        case RetryAfter(seconds=seconds):
            return f"RetryAfter: begin again after {seconds:g} s"
        case Fallback(task=task):
            return f"Fallback: let {getattr(task, 'name', task)} answer"
        case GiveUp():
            return "GiveUp: hand the failure to the calling code"
        case AskHuman():
            return "AskHuman: let a person say what to do"
