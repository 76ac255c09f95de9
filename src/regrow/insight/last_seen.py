"""What the workers of an interrupted run were doing when their driver was last heard of.

A driver that was killed cannot say why. What its workers had used by then, and what has happened to the machine since,
often can.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from regrow.insight.drives import Drive
from regrow.insight.healed import two_sizes
from regrow.insight.tree import CallNode, RunTree
from regrow.insight.workers import Worker
from regrow.values.durations import readable
from regrow.values.sizes import readable_size


class Here(msgspec.Struct, frozen=True):
    """The machine on which somebody asks, as it is now.

    Attributes:
        host: its name.
        boot: names its uptime; empty if that is not known.
        kills: how often its OOM killer has struck in that time; None if that is not known.
    """

    host: str
    boot: str = ""
    kills: int | None = None


def last_seen(tree: RunTree, drive: Drive, here: Here | None = None) -> tuple[str, ...]:
    """Say what the workers were doing that a driver had when it disappeared, and what their machine did since.

    Args:
        tree: of the run.
        drive: the time of that driver.
        here: where this is asked; None if nothing is known of it.
    """
    left = [(call, worker) for call in tree.walk() if (worker := _left(call, drive)) is not None]
    said = [_doing(call, worker, drive) for call, worker in left]
    if left and here is not None:
        said.extend(_since(*max(left, key=lambda one: one[1].started), here))
    return tuple(said)


def _left(call: CallNode, drive: Drive) -> Worker | None:
    """Give the worker of a call that the driver had, and whose outcome it could not record any more."""
    last = call.attempts[-1] if call.attempts else None
    if last is None or last.outcome != "unfinished" or last.worker is None or last.worker.started < drive.opened:
        return None
    return last.worker


def _doing(call: CallNode, worker: Worker, drive: Drive) -> str:
    if worker.ended is not None:
        return f"the worker of {call.path} was gone ({worker.how}), and what became of the call was not recorded"
    if not worker.samples:
        return f"{call.path} was running in process {worker.pid}; how much memory it used is not recorded"
    moment, used = worker.samples[-1]
    amount = readable_size(used) if worker.limit is None else two_sizes(used, "of", worker.limit)
    before = readable(max(0.0, drive.last - moment))
    return f"{call.path} had used {amount} {before} before its driver was last heard of"


def _since(call: CallNode, worker: Worker, here: Here) -> Iterator[str]:
    """Compare the machine with what it was when the youngest of the workers began."""
    if worker.host != here.host:
        yield f"that was on {worker.host}; what has happened there since cannot be seen from here"
    elif worker.boot and here.boot and worker.boot != here.boot:
        yield f"{here.host} has been started anew since: it went down, or was restarted"
    elif worker.kills is not None and here.kills is not None and worker.boot == here.boot:
        strikes = here.kills - worker.kills
        if strikes > 0:
            # The counter holds kills inside of a task's own limit too, and nobody has recorded those any more.
            how_often = "once" if strikes == 1 else f"{strikes} times"
            yield (
                f"the machine's OOM killer has struck {how_often} since {call.path} began "
                "(inside a task's own limit, or because the machine as a whole ran out)"
            )
        else:
            yield f"the machine's OOM killer has not struck since {call.path} began"
