"""Each invariant, with a journal that holds it and one that breaks it."""

from __future__ import annotations

import msgspec
import pytest

from regrow.engine.invariants import check_run
from regrow.journal.chain import unseal_all
from regrow.journal.records import (
    AttemptFailed,
    CallCancelled,
    CheckpointSaved,
    ChunkYielded,
    Diverged,
    DriverClosed,
    OutcomeDecided,
    RunEnded,
    RunRetried,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
)

from .writing import call, done, driver, error, failed, started, worker

pytestmark = pytest.mark.unit


def rules(records):
    return [violation.rule for violation in check_run(records)]


def attempt_failed(path, attempt, retry_at=2_000.0):
    return AttemptFailed(call(path), attempt, 1_000.0, error(), retry_at)


def test_a_run_that_went_wrong_in_every_allowed_way_breaks_nothing(write):
    write.begin()(started("a#1"), done("a#1/s#1"), attempt_failed("a#1/f#1", 1), attempt_failed("a#1/f#1", 2))
    write(DriverClosed("SystemExit"), driver("bob@host pid 2 (bb)"), started("a#1"), done("a#1/f#1", 3))
    write(ChunkYielded(call("a#1/t#1", "stream"), 0, b""), CallCancelled(call("a#1/t#1", "stream"), 1, 1_000.0))
    write(started("a#1/pay#1", once=True, kind="step"), RunEnded("failed", error()))
    write(driver(), OutcomeDecided("a#1/pay#1", happened=False), driver(), RunRetried(()), started("a#1"))
    write(Diverged("a#1/pay#1", "why"), failed("a#1"), RunEnded("failed", error(), ("a#1",)))
    write(driver(), RunRetried(("a#1",)), started("a#1", 2), done("a#1", 2), RunEnded("succeeded"))
    assert check_run(write.records) == []
    assert unseal_all("r" * 26, write.stored) == write.records


def test_a_run_without_records_breaks_nothing():
    assert check_run([]) == []


BROKEN = {
    "a run begins with its creation, once": lambda write: write(driver()),
    "a run ends once": lambda write: write.begin()(RunEnded("failed"), driver(), RunEnded("failed")),
    "nothing happens in a run that has ended": lambda write: write.begin()(RunEnded("failed"), done("a#1")),
    "only a failed or cancelled run is retried": lambda write: write.begin()(RunEnded("succeeded"), RunRetried(())),
    "a call succeeds once": lambda write: write.begin()(done("a#1"), done("a#1")),
    "nothing happens in a call that has succeeded": lambda write: write.begin()(done("a#1"), started("a#1")),
    "attempts count up": lambda write: write.begin()(attempt_failed("a#1", 1), started("a#1", 2), started("a#1", 1)),
    "an attempt fails once": lambda write: write.begin()(attempt_failed("a#1", 1), attempt_failed("a#1", 1)),
    "no retry comes before its failure": lambda write: write.begin()(attempt_failed("a#1", 1, 999.0)),
    "only the outcome of a once-only call is decided": lambda write: write.begin()(
        OutcomeDecided("a#1", happened=True)
    ),
    "a worker runs an attempt that has begun": lambda write: write.begin()(started("a#1"), worker("a#1", 2)),
    "a limit grows from what it was": lambda write: write.begin()(
        started("a#1"), worker("a#1", memory=256), WorkerGrown("a#1", 1, 512, 1024, 0.0)
    ),
    "checkpoints are counted": lambda write: write.begin()(
        started("a#1"), CheckpointSaved("a#1", 1, 1, b""), CheckpointSaved("a#1", 1, 3, b"")
    ),
}


def test_a_worker_that_grows_and_saves_and_is_begun_again_breaks_nothing(write):
    write.begin()(started("a#1"), worker("a#1", memory=256), WorkerGrown("a#1", 1, 256, 512, 0.0))
    write(CheckpointSaved("a#1", 1, 1, b""), WorkerEnded("a#1", 1, "SIGKILL"), attempt_failed("a#1", 1))
    write(started("a#1", 2), worker("a#1", 2, memory=512), WorkerSampled("a#1", 2, ((1.0, 2),)))
    write(CheckpointSaved("a#1", 2, 2, b""), WorkerGrown("a#1", 2, 512, 1024, 0.0), WorkerEnded("a#1", 2, "result"))
    assert check_run(write.records) == []


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named(write, rule):
    BROKEN[rule](write)
    assert rules(write.records) == [rule]


def test_a_gap_in_the_sequence_is_found(write):
    records = write.begin()(started("a#1"), done("a#1")).records
    assert rules([*records[:2], *records[3:]]) == ["records are numbered without gaps"]


def test_an_epoch_that_falls_is_found(write):
    records = write.begin()(driver(), started("a#1"), done("a#1")).records
    late = msgspec.structs.replace(records[-1], epoch=1)
    assert rules([*records[:-1], late]) == ["epochs never fall"]


def test_an_epoch_that_begins_without_its_driver_is_found(write):
    records = write.begin()(started("a#1")).records
    assert rules([*records[:-1], msgspec.structs.replace(records[-1], epoch=9)]) == [
        "a new epoch begins with its driver"
    ]
