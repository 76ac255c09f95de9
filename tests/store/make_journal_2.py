"""Writes the journal that `test_format_2.py` reads: ``PYTHONPATH=src python -m tests.store.make_journal_2``.

It holds what format 2 added: worker processes, checkpoints, remedies and budgets, and the sizes that were remembered.
The records are written down here, each field by name and none with its default, so that the test knows what must come
back. Written once, it is never written again; see `make_journal.py`.
"""

from __future__ import annotations

import hashlib

from regrow.codec import encode
from regrow.codec.error_record import ErrorRecord
from regrow.journal.records import (
    AttemptFailed,
    BlobRef,
    Call,
    CallStarted,
    CheckpointSaved,
    DriverOpened,
    Event,
    RecordedFallback,
    RunCreated,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
)
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import NewRun, SizeSeen
from regrow.remedies import Extend, Grow, Resume, RetryAfter
from regrow.values.policies import Bounds
from regrow.values.resources import Resources

from .kept import append_all, write_once

HOLDER = "somebody@somewhere pid 1 (00000000)"
RUN = "01JGFJJZ000000000000000000"
MI = 2**20

# -- what is in it -----------------------------------------------------------------------------------------------------

AGENT = Call(path="agent#1", kind="task", position=1, digest=b"digest of agent", inputs=encode(("question",)))
TRAIN = Call(path="agent#1/train#1", kind="task", position=1, digest=b"digest of train", inputs=encode(("age", 3)))

DROPPED = encode({"epoch": 3, "weights": b"weights of epoch 3 " * 4096})
SAVED = encode({"epoch": 6, "weights": b"weights of epoch 6 " * 4096})
FILE = b"a file that both of them refer to"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def checkpoint(number: int, content: bytes) -> CheckpointSaved:
    return CheckpointSaved(
        path="agent#1/train#1",
        attempt=1,
        number=number,
        value=BlobRef(digest=digest(content), size=len(content)),
        blobs=(digest(FILE), digest(content)),
    )


def failed(attempt: int, error: str, **rest: object) -> AttemptFailed:
    return AttemptFailed(
        call=TRAIN,
        attempt=attempt,
        started=1_735_689_601.0 + attempt,
        error=ErrorRecord(type=f"regrow.errors:{error}", message=f"{error} in attempt {attempt}"),
        retry_at=1_735_689_602.0 + attempt,
        **rest,
    )


EVENTS: list[Event] = [
    RunCreated(
        run=RUN,
        task="module:agent",
        source="module.py",
        inputs=encode((("question",), {})),
        digest=b"digest of agent",
        key="workers",
        project="a project",
        parent="01JGFJJX000000000000000000",
        budget=Bounds(attempts=12, memory=4096 * MI, wall_time=3600.5),
    ),
    DriverOpened(holder=HOLDER, regrow="0.2.0", python="3.11.7"),
    CallStarted(call=AGENT, attempt=1),
    CallStarted(call=TRAIN, attempt=1),
    WorkerStarted(
        path="agent#1/train#1",
        attempt=1,
        pid=4711,
        host="somewhere",
        resources=Resources(memory=256 * MI, cpu=1.5, gpu=1, disk=1024 * MI, output=MI, processes=16),
        enforced_by=("cgroup v2", "RLIMIT_DATA", "watchdog"),
        size_from="run 01JGFJJY, which needed 240 MiB",
        kills=7,
        boot="00000000-0000-4000-8000-000000000000",
        queued=0.75,
    ),
    WorkerSampled(
        path="agent#1/train#1",
        attempt=1,
        samples=((1_735_689_601.25, 100 * MI), (1_735_689_601.5, 250 * MI), (1_735_689_601.75, 256 * MI)),
    ),
    WorkerGrown(
        path="agent#1/train#1",
        attempt=1,
        before=256 * MI,
        after=512 * MI,
        held=0.015625,
        enforced_by="cgroup v2 memory.high",
    ),
    checkpoint(1, DROPPED),
    checkpoint(2, SAVED),
    WorkerEnded(
        path="agent#1/train#1", attempt=1, how="SIGKILL", peak=511 * MI, cpu_seconds=12.625, limit=512 * MI, signal=9
    ),
    failed(
        1,
        "OutOfMemory",
        again=("agent#1/train#1/load#1",),
        remedy=Grow(memory=1024 * MI, disk=2048 * MI, output=2 * MI, processes=32),
        chosen_by="on_oom",
        counts=False,
    ),
    failed(2, "TimedOut", remedy=Extend(timeout=90.5), chosen_by="on_failure"),
    failed(3, "Preempted", remedy=Resume(), chosen_by="on_preempted", counts=False),
    failed(4, "RateLimited", remedy=RetryAfter(seconds=2.5), chosen_by="the failure itself"),
    failed(5, "Crashed", remedy=RecordedFallback(task="module:train_simply"), chosen_by="on_failure"),
    failed(6, "Crashed"),
    CheckpointSaved(
        path="agent#1/train#1",
        attempt=6,
        number=3,
        value=encode({"epoch": 7}),
        branch="agent#1/train#1/",
        calls={"learn": 7},
        strands={"prefetch": 1},
        position=7,
    ),
    WorkerEnded(path="agent#1/train#1", attempt=6, how="exit code 3", code=3),
]
"""Each kind that is new in format 2, and an attempt's failure with each remedy."""

SIZES = [
    SizeSeen("module:train", 17, 1024 * MI, 640 * MI, "01JGFJJY000000000000000000", 1_735_689_500.5),
    SizeSeen("module:train", 17, 512 * MI, None, RUN, 1_735_689_610.25),
]

# -- writing it down ---------------------------------------------------------------------------------------------------


def write(store: SqliteStore) -> None:
    store.create(NewRun(RUN, "module:agent", 1_735_689_600.0, "workers", "a project"))
    epoch = store.claim(RUN, HOLDER)
    for content in (DROPPED, SAVED, FILE):
        assert store.blobs.put(content) == digest(content)
    append_all(store, RUN, epoch, EVENTS, 1_735_689_600.0)
    store.release_blobs(RUN, checkpoint(1, DROPPED).blobs)
    store.blobs.delete(digest(DROPPED))
    for seen in SIZES:
        store.remember_size(seen, "a project")
    store.release(RUN, epoch)


if __name__ == "__main__":
    write_once(2, write)
