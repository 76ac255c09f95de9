"""What a worker's attempt died of, concluded from what is left of it.

A dead process cannot be asked, and each trace of it can mislead: a SIGKILL looks the same from the kernel's OOM killer
and from a person; a child killed for memory may come out as an exception about a broken pipe. So the traces are
weighed in one fixed order: what regrow itself did; the OOM counter of the worker's own cgroup; what the worker could
still say; the signal or exit code; the machine's OOM counter with the last samples; silence. The first that decides
names the failure. All the others are told beside it, so that a reader can disagree.

Everything is decided from one value and nothing is read here. A case that was met once can be written down as a test,
and a worker that was lost with its driver is judged from its journal in the same way.

Rejected: exit code 137 as a sign of out of memory, as container runtimes show it; it says SIGKILL and no more. The
``failcnt`` of cgroup v1, which stays 0 when the kernel really kills.
"""

from __future__ import annotations

import signal
from typing import Final

from regrow.errors import (
    Confidence,
    Crashed,
    DiskFull,
    Failure,
    OutOfMemory,
    OutputLimit,
    Preempted,
    ProcessLimit,
    TimedOut,
    WorkerLost,
)
from regrow.executors.evidence import Evidence, facts, sentences, signal_name

LARGE: Final = 0.5
"""From this share of what it could have used upwards, a worker was large enough to be the OOM killer's choice."""
FAST: Final = 64 * 2**20
"""Bytes a second. One that grew at this rate may have been large by the time it was killed, whatever was seen last."""

_FROM_OUTSIDE: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})
"""Sent by terminals and people. A worker could send them to itself, so they make a loss likely and not certain."""
_SENT_BY_OTHERS: Final = _FROM_OUTSIDE | {signal.SIGKILL, signal.SIGTERM}


_Verdict = tuple[Failure, Confidence]


def diagnose(evidence: Evidence) -> Failure | None:
    """Say what an attempt died of.

    Args:
        evidence: what is left of it.

    Returns:
        The failure, with its confidence, its evidence and its facts; None if there is none of regrow's to tell: it
        gave its result, was cancelled, or raised an exception of its own, which is then handed on as it is.
    """
    if _has_nothing_to_tell(evidence):
        return None
    failure, confidence = (
        _by_own_flag(evidence)
        or _by_counter(evidence)
        or _by_frame(evidence)
        or _by_notice(evidence)
        or _by_exit(evidence)
        or _by_silence(evidence)
    )
    return failure.explained(confidence=confidence, evidence=tuple(sentences(evidence)), facts=facts(evidence))


def _has_nothing_to_tell(evidence: Evidence) -> bool:
    if evidence.told_to_stop is not None and evidence.told_to_stop != "preempted":
        return evidence.told_to_stop == "cancelled"
    if evidence.frame is None:
        return evidence.result  # also with a kill on the way: then the task lived through the loss of a child
    return evidence.frame.kind == "raised" and not evidence.oom_kills and not evidence.was_preempted


def _by_own_flag(evidence: Evidence) -> _Verdict | None:
    given = evidence.resources
    failure: Failure
    match evidence.told_to_stop:
        case None | "cancelled":
            return None
        case ("timeout" | "deadline") as scope:
            limit = evidence.allowed[0] if evidence.allowed is not None else evidence.ran
            failure = TimedOut(evidence.path, limit, scope)
        case "memory":
            failure = _out_of_memory(evidence, limit=given.memory, by="watchdog")
        case "host memory":
            failure = _out_of_memory(evidence, limit=None, by="watchdog")
        case "disk":
            failure = DiskFull(evidence.path, used=evidence.scratch, limit=given.disk, enforced_by="watchdog")
        case "output":
            failure = OutputLimit(evidence.path, limit=given.output)
        case "processes":
            failure = ProcessLimit(evidence.path, limit=given.processes, enforced_by="watchdog")
        case "preempted":
            failure = _preempted(evidence)
    return failure, "certain"


def _by_counter(evidence: Evidence) -> _Verdict | None:
    if not evidence.oom_kills:
        return None
    # The kill itself is certain. If the code raised afterwards, that it was because of it is only likely.
    survived = evidence.frame is not None and evidence.frame.kind == "raised"
    # The killers of the machine and of groups around its own are counted there too.
    by, limit = (evidence.cgroup or "cgroup", evidence.bound) if evidence.came_to_its_limit else ("", None)
    return _out_of_memory(evidence, limit=limit, by=by), "likely" if survived else "certain"


def _by_frame(evidence: Evidence) -> _Verdict | None:
    path, given = evidence.path, evidence.resources
    if evidence.frame is None:
        return None
    match evidence.frame.kind:
        case "raised":
            return None
        case "memory" if evidence.data_limited:
            # Refused even what the last rung of its ladder would allow: that is the limit it came to.
            limit = evidence.data_limit if evidence.data_limit is not None else given.memory
            return _out_of_memory(evidence, limit=limit, by="RLIMIT_DATA"), "certain"
        case "memory":
            by = evidence.cgroup or "" if evidence.held and evidence.came_to_its_limit else ""
            return _out_of_memory(evidence, limit=evidence.bound, by=by), "likely"
        case "no-space":
            return DiskFull(path, used=evidence.scratch, limit=None), "certain"
        case "file-size":
            # Without a limit of ours, it was the most that this file system puts into one file.
            by = "" if given.disk is None else "RLIMIT_FSIZE"
            return DiskFull(path, used=evidence.scratch, limit=given.disk, enforced_by=by), "certain"
        case "processes" if evidence.refused_forks:
            return ProcessLimit(path, limit=given.processes, enforced_by="pids.max"), "certain"
        case "processes":
            # The kernel refuses a fork with the same error when it has no memory for it.
            return ProcessLimit(path, limit=given.processes), "likely"


def _by_notice(evidence: Evidence) -> _Verdict | None:
    if not evidence.preempted_by:
        return None
    # What the code raised after the notice may come of it, and resuming costs no retry; so it is taken for that.
    return _preempted(evidence), "certain" if evidence.frame is None else "likely"


def _by_exit(evidence: Evidence) -> _Verdict | None:
    if evidence.data_limited and evidence.wait_status is not None and evidence.death_signal not in _SENT_BY_OTHERS:
        # Code that cannot raise dies of a refused allocation in its own way: it aborts, follows a null pointer, leaves.
        return _out_of_memory(evidence, limit=evidence.resources.memory, by="RLIMIT_DATA"), "likely"
    if _was_refused_while_held(evidence):
        return _out_of_memory(evidence, limit=evidence.bound, by=evidence.cgroup or ""), "likely"
    match evidence.death_signal:
        case None:
            return None if evidence.exit_code is None else (Crashed(evidence.path, code=evidence.exit_code), "certain")
        case signal.SIGKILL:
            return _by_kill(evidence)
        case signal.SIGTERM:
            return _preempted(evidence), "certain"
        case signal.SIGXFSZ if evidence.resources.disk is not None:
            used, limit = evidence.scratch, evidence.resources.disk
            return DiskFull(evidence.path, used=used, limit=limit, enforced_by="RLIMIT_FSIZE"), "certain"
        case number if number in _FROM_OUTSIDE:
            return WorkerLost(evidence.path, signal=signal_name(number)), "likely"
        case number:
            return Crashed(evidence.path, signal=signal_name(number)), "certain"


def _was_refused_while_held(evidence: Evidence) -> bool:
    """Tell whether it probably left because a system call was refused memory, which is not held (`cgroup_v1`)."""
    return (
        evidence.held
        and evidence.came_to_its_limit
        and evidence.wait_status is not None
        and evidence.death_signal not in _SENT_BY_OTHERS
    )


def _by_kill(evidence: Evidence) -> _Verdict:
    lost = WorkerLost(evidence.path, signal="SIGKILL")
    if evidence.cgroup is not None:
        return lost, "certain"  # a kill by whatever OOM killer would have been counted there, and was looked for before
    match evidence.host_oom_kills:
        case 0:
            return lost, "certain"
        case None:
            return lost, "likely" if _was_large(evidence) else "certain"
        case _ if _was_large(evidence):
            return _out_of_memory(evidence, limit=None, by=""), "likely"
        case _:
            return lost, "likely"


def _by_silence(evidence: Evidence) -> _Verdict:
    if evidence.host_oom_kills and _was_large(evidence):
        return _out_of_memory(evidence, limit=None, by=""), "likely"
    return WorkerLost(evidence.path), "unknown"


def _was_large(evidence: Evidence) -> bool:
    """Tell whether the machine's OOM killer could well have chosen it."""
    if evidence.growth is not None and evidence.growth >= FAST:
        return True
    room = evidence.resources.memory if evidence.resources.memory is not None else evidence.ceiling
    return room is not None and evidence.most is not None and evidence.most >= LARGE * room


def _out_of_memory(evidence: Evidence, *, limit: int | None, by: str) -> OutOfMemory:
    return OutOfMemory(
        evidence.path,
        peak=evidence.most,
        limit=limit,
        growth=evidence.growth,
        enforced_by=by,
        ceiling=evidence.ceiling,
    )


def _preempted(evidence: Evidence) -> Preempted:
    return Preempted(evidence.path, grace=evidence.grace, source=evidence.preempted_by or "SIGTERM")
