"""What is found out about a worker that is gone: everything that was seen of it, as evidence."""

from __future__ import annotations

from pathlib import Path

from regrow.executors.briefing import most_memory
from regrow.executors.conversation import Conversation
from regrow.executors.ending import Ending
from regrow.executors.evidence import Evidence
from regrow.executors.limits import machine, usage
from regrow.executors.limits.cgroups import Cgroup
from regrow.executors.messages import Gave, Job, Threw
from regrow.executors.outcome import frame_of
from regrow.executors.supervision import Supervision
from regrow.executors.warm import Exited


def gather(
    job: Job,
    *,
    exited: Exited | None,
    ending: Ending,
    talk: Conversation,
    seen: Supervision,
    group: Cgroup | None,
    scratch: Path,
    layers: tuple[str, ...],
    host: machine.Machine,
    host_kills: int | None,
    ran: float,
) -> Evidence:
    """Gather what is left of a worker.

    Args:
        job: what it ran.
        exited: how its process ended; None if nobody can say.
        ending: whether it was ended early, and why.
        talk: what it has said.
        seen: what was seen of it from outside.
        group: its cgroup, if it had one.
        scratch: its folder.
        layers: what held it to its limits.
        host: where it ran.
        host_kills: how many processes the host had killed for want of memory when it began, if that is known.
        ran: for how many seconds it ran.
    """
    outcome = talk.outcome
    now = machine.oom_kills()
    peaks = [seen.watch.peak, (outcome.peak if outcome is not None else None) or 0]
    kills = group.oom_kills() if group is not None else 0
    held = group is not None and group.holds
    refused = held and isinstance(outcome, Threw) and outcome.kind == "memory"
    if group is not None and (outcome is None or kills or refused):  # else page cache would pass for need
        peaks.append(group.peak() or 0)
    resources = seen.resources
    return Evidence(
        path=job.call.path,
        task=job.name,
        attempt=job.attempt,
        resources=resources,
        enforced_by=layers,
        told_to_stop=ending.reason,
        allowed=job.allowed,
        grace=ending.grace,
        preempted_by=ending.taken_by,
        wait_status=exited.status if exited is not None else None,
        frame=frame_of(outcome) if isinstance(outcome, Threw) else None,
        result=isinstance(outcome, Gave),
        oom_kills=kills,
        refused_forks=group.refused_forks() if group is not None else 0,
        host_oom_kills=now - host_kills if now is not None and host_kills is not None else None,
        samples=seen.watch.samples,
        peak=max(peaks) or None,
        growth=seen.watch.growth_to_peak,
        ceiling=host.memory,
        scratch=usage.scratch_size(scratch) if resources.disk is not None else None,
        held=held,
        outgrown=seen.outgrown,
        data_limit=most_memory(job, host) if held and resources.memory is not None else None,
        data_limited=isinstance(outcome, Threw) and outcome.data_limited,
        ran=ran,
    )
