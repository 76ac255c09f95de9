"""Records of runs, written event by event."""

from __future__ import annotations

from regrow.codec import capture, digest_inputs
from regrow.journal.chain import seal
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallFailed,
    CallStarted,
    CallSucceeded,
    DriverOpened,
    Record,
    RunCreated,
    WorkerStarted,
)
from regrow.values.resources import Resources

MIB = 2**20


class Writer:
    """Writes a run's records; each event takes a second."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.stored = []
        self.epoch = 1
        self._previous = b""

    def __call__(self, *events, actor="driver"):
        for event in events:
            if isinstance(event, DriverOpened) and any(isinstance(one.event, DriverOpened) for one in self.records):
                self.epoch += 1
            record = Record(len(self.records) + 1, self.time + 1, actor, self.epoch, self._previous, event)
            stored = seal(record)
            self._previous = stored.hash
            self.records.append(record)
            self.stored.append(stored)
        return self

    @property
    def time(self):
        return 1_000.0 + len(self.records)

    def begin(self, task="agent:agent", key=None):
        return self(RunCreated("r" * 26, task, "/src/agent.py", b"", b"", key), driver())


def driver(name="ann@host pid 1 (aa)"):
    return DriverOpened(name, "0.1.0", "3.11")


def call(path, kind="step", **inputs):
    data = digest_inputs(inputs, allow_opaque=True)
    return Call(path, kind, 1, data.digest, data.data or b"")


def worker(path, attempt=1, memory=256 * MIB, *, kills=3, boot="monday", **more):
    resources = Resources(memory=memory)
    by = ("cgroup v1", "RLIMIT_DATA")
    return WorkerStarted(path, attempt, 77, "ann", resources, by, kills=kills, boot=boot, **more)


def healed(path, failure, remedy, attempt=1, *, chosen_by="on_oom", counts=True, at=1_000.0):
    """An attempt that failed of something, and what was chosen to be done about it."""
    error = capture(failure)
    return AttemptFailed(call(path, "task"), attempt, at, error, 2_000.0, (), remedy, chosen_by, counts)


def error(text="boom", cause=None):
    def in_user_code():
        raise ValueError(text) from cause

    try:
        in_user_code()
    except ValueError as raised:
        return capture(raised)
    raise AssertionError


def started(path, attempt=1, *, once=False, kind="task"):
    return CallStarted(call(path, kind), attempt, once=once)


def done(path, attempt=1, at=1_000.0, kind="step"):
    return CallSucceeded(call(path, kind), attempt, at, b"\x01\xc0")


def failed(path, attempt=1, *, at=1_000.0, again=(), text="boom", kind="step"):
    return CallFailed(call(path, kind), attempt, at, error(text), again)
