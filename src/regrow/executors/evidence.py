"""What is left of a worker's attempt when its process is gone, and how that is told to people.

The sentences state what was found and conclude nothing, so that a reader can disagree with the conclusion, which is
drawn in `regrow.executors.diagnosis`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any, Final, Literal

from msgspec import Struct

from regrow.values.resources import Resources
from regrow.values.sizes import readable_size

Reason = Literal[
    "timeout", "deadline", "memory", "host memory", "disk", "output", "processes", "preempted", "cancelled"
]
"""Why regrow itself ended a worker. ``host memory``: the machine, or the container around it, was about to run out."""

NOT_BEGUN: Final[dict[str, Any]] = {"begun": False}
"""The facts of a failure that came before the task itself had begun."""
SHOWN_SAMPLES: Final = 8
"""How many of the last samples go into the facts of a failure."""

_LONGEST_REPORT: Final = 200
"""Of an exception's own text, which may hold a whole command line. The exception itself is handed on in full."""
_SLACK: Final = 1 / 32
"""The kernel's own figures lag behind by a batch of pages on each processor."""


class ErrorFrame(Struct, frozen=True):
    """What the worker itself could still say of its end.

    Attributes:
        kind: ``raised`` is an exception of the code's own. The others are the operating system's refusals as Python
            shows them: ``memory`` a MemoryError; ``no-space`` an OSError with ENOSPC or EDQUOT; ``file-size`` one
            with EFBIG; ``processes`` one with EAGAIN, out of a fork.
        text: the exception as ``Type: message``; may be empty.
    """

    kind: Literal["raised", "memory", "no-space", "file-size", "processes"]
    text: str = ""


class Evidence(Struct, frozen=True, kw_only=True):
    """All that is left of one attempt. The defaults say that nothing is known, or that nothing happened.

    Attributes:
        path: of the call.
        task: its name.
        attempt: which one, from 1.
        resources: what it was given; the larger limits, if they were raised under it.
        enforced_by: what held it to that, such as ``cgroup v1`` and ``RLIMIT_DATA``, the strongest first.
        told_to_stop: why regrow ended it, if it did.
        allowed: the seconds that it had, and which of the two bounds they were.
        grace: the seconds between the notice of a preemption and the end.
        preempted_by: who took its place away: ``SIGTERM`` if the worker noted one that was not regrow's, or a
            provider's name; empty if nobody did.
        wait_status: as ``os.waitpid`` gives it; None if it is not known.
        frame: what the worker said of its failure; None if nothing came whole.
        result: whether a result came whole.
        oom_kills: how often the kernel's OOM killer struck in the worker's own cgroup.
        refused_forks: how often the kernel refused a process or thread to that cgroup.
        host_oom_kills: how often the OOM killer struck anywhere on the machine meanwhile; None if that is not known.
        samples: moments and bytes in use, the latest last; on the scale of `resources.memory`.
        peak: the most bytes that it is known to have used.
        growth: how fast it grew in the end, in bytes per second.
        ceiling: the most bytes that this host could give to one task.
        scratch: bytes in its scratch folder.
        data_limited: whether it was its RLIMIT_DATA that refused it memory.
        data_limit: the bytes at which that stood; for a worker that may grow in place, the most that it could grow to.
        held: whether its cgroup lets it wait at its memory limit, and does not kill it.
        outgrown: the memory limits that it had before they were raised under it, in bytes.
        ran: for how many seconds it ran.
    """

    path: str
    task: str
    attempt: int
    resources: Resources
    enforced_by: tuple[str, ...] = ()
    told_to_stop: Reason | None = None
    allowed: tuple[float, Literal["timeout", "deadline"]] | None = None
    grace: float = 0.0
    preempted_by: str = ""
    wait_status: int | None = None
    frame: ErrorFrame | None = None
    result: bool = False
    oom_kills: int = 0
    refused_forks: int = 0
    host_oom_kills: int | None = None
    samples: tuple[tuple[float, int], ...] = ()
    peak: int | None = None
    growth: float | None = None
    ceiling: int | None = None
    scratch: int | None = None
    data_limited: bool = False
    data_limit: int | None = None
    held: bool = False
    outgrown: tuple[int, ...] = ()
    ran: float = 0.0

    @property
    def death_signal(self) -> int | None:
        """The number of the signal that it died of."""
        status = self.wait_status
        return os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None

    @property
    def exit_code(self) -> int | None:
        """The exit code with which it left."""
        status = self.wait_status
        return os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None

    @property
    def most(self) -> int | None:
        """The most bytes that it was seen to use."""
        seen = [used for _, used in self.samples] + ([] if self.peak is None else [self.peak])
        return max(seen, default=None)

    @property
    def cgroup(self) -> str | None:
        """Which sort of cgroup limits its memory, and counts the kills in it; None if none does."""
        return next((layer for layer in self.enforced_by if layer.startswith("cgroup")), None)

    @property
    def bound(self) -> int | None:
        """The memory limit that was in its way, in bytes: an outgrown one if it has used no more than that."""
        limit, most = self.resources.memory, self.most
        return limit if limit is None or most is None else min((*self._not_passed(most), limit))

    @property
    def came_to_its_limit(self) -> bool:
        """Whether it used as much memory as it may, as exactly as that is counted."""
        return self.bound is not None and self.most is not None and self.most >= (1 - _SLACK) * self.bound

    def _not_passed(self, most: int) -> tuple[int, ...]:
        return tuple(limit for limit in self.outgrown if most <= (1 + _SLACK) * limit)

    @property
    def was_preempted(self) -> bool:
        """Whether its place was taken away."""
        return self.told_to_stop == "preempted" or bool(self.preempted_by)


def ending(evidence: Evidence) -> str:
    """Give the worker's end in a few words: ``SIGKILL``, ``exit code 3``, or ``unknown``."""
    if evidence.death_signal is not None:
        return signal_name(evidence.death_signal)
    return "unknown" if evidence.exit_code is None else f"exit code {evidence.exit_code}"


def sentences(evidence: Evidence) -> Iterator[str]:
    """Tell each piece of evidence, the strongest first. They state what was found and conclude nothing."""
    if evidence.told_to_stop is not None:
        yield f"regrow itself ended it: {_own_reason(evidence, evidence.told_to_stop)}"
    if evidence.oom_kills:
        yield f"the kernel's OOM killer struck in its own cgroup ({_times(evidence.oom_kills)})"
    if evidence.frame is not None:
        yield f"the worker reported {_shortened(evidence.frame.text) or _REPORTED[evidence.frame.kind]}"
    if evidence.result:
        yield "its result had come whole"
    if evidence.data_limited:
        yield "it was refused memory by its RLIMIT_DATA"
    if evidence.refused_forks:
        yield f"the kernel refused it a process or thread ({_times(evidence.refused_forks)})"
    if evidence.preempted_by:
        yield f"notice came from {evidence.preempted_by} that its place is taken away"
    yield from _how_it_ended(evidence)
    if evidence.death_signal == signal.SIGKILL and not evidence.oom_kills and evidence.told_to_stop is None:
        counted = evidence.cgroup is not None
        yield f"no OOM kill was counted in {'its own cgroup' if counted else 'a cgroup of its own: it had none'}"
    if evidence.host_oom_kills and evidence.host_oom_kills > evidence.oom_kills:
        yield f"the machine's OOM killer struck meanwhile ({_times(evidence.host_oom_kills)})"
    elif evidence.host_oom_kills == 0 and evidence.death_signal == signal.SIGKILL:
        yield "the machine's OOM killer did not strike meanwhile"
    yield from _how_large_it_was(evidence)


def _own_reason(evidence: Evidence, why: Reason) -> str:
    given = evidence.resources
    match why:
        case "timeout" | "deadline":
            allowed = "" if evidence.allowed is None else f" of {evidence.allowed[0]:g} s"
            return f"it had passed its {why}{allowed}"
        case "memory":
            return "it was above its memory limit"
        case "host memory":
            return "the machine, or the container around it, was about to run out of memory"
        case "disk":
            return f"its scratch folder held {_amount(evidence.scratch)} of {_amount(given.disk)}"
        case "output":
            return f"it had printed more than {readable_size(given.output)}"
        case "processes":
            return f"it had more than {given.processes} processes"
        case "preempted":
            return "its place is taken away"
        case "cancelled":
            return "it was cancelled"


def _how_it_ended(evidence: Evidence) -> Iterator[str]:
    if evidence.death_signal is not None:
        by_whom = "" if evidence.told_to_stop is not None else ", which regrow had not sent"
        yield f"it died of {signal_name(evidence.death_signal)}{by_whom}"
        if evidence.death_signal == signal.SIGBUS:
            yield "a SIGBUS also comes of mapped memory whose file, disk or tmpfs (such as /dev/shm) was full"
    elif evidence.exit_code == 0 and evidence.frame is not None:
        return  # as every worker does that could still report
    elif evidence.exit_code is not None:
        yield f"it left with exit code {evidence.exit_code}"
    else:
        yield "how it ended is not known"


def _how_large_it_was(evidence: Evidence) -> Iterator[str]:
    limit = evidence.bound
    allowed = "without a limit of its own" if limit is None else f"of {readable_size(limit)}"
    if evidence.samples:
        last = ", ".join(readable_size(used) for _, used in evidence.samples[-3:])
        yield f"memory in use when last seen: {last} {allowed}"
    if evidence.most is not None:
        rate = evidence.growth
        grew = f", growing by {readable_size(rate)} a second in the end" if rate is not None and rate > 0 else ""
        yield f"the most that it was seen to use is {readable_size(evidence.most)} {allowed}{grew}"
    else:
        yield "how much memory it used was not seen"


def facts(evidence: Evidence) -> dict[str, Any]:
    """What a policy, a log or a model may want, as plain data."""
    return {
        "task": evidence.task,
        "attempt": evidence.attempt,
        "limits": evidence.resources.describe(),
        "enforced_by": ", ".join(evidence.enforced_by),
        "peak": evidence.most,
        "samples": [list(sample) for sample in evidence.samples[-SHOWN_SAMPLES:]],
        "ran": evidence.ran,
        "exit": ending(evidence),
    }


_REPORTED: Final = {
    "raised": "an exception of the code's own",
    "memory": "a MemoryError",
    "no-space": "that no space is left (ENOSPC or EDQUOT)",
    "file-size": "that a file is too large (EFBIG)",
    "processes": "that a process was refused (EAGAIN)",
}


def signal_name(number: int) -> str:
    """Name a signal, as ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between the first and the last, which have names
        return f"signal {number}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_REPORT else f"{text[:_LONGEST_REPORT]} …"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _amount(size: int | None) -> str:
    return "an unknown amount" if size is None else readable_size(size)
