"""The end of a journal to which its driver appends: each record follows the last, and the state with it."""

from __future__ import annotations

from regrow.engine.log import RunLog
from regrow.journal.chain import unseal_all
from regrow.journal.records import DriverOpened, RunCreated, RunEnded, RunRetried

CREATED = RunCreated("r", "agent", "", b"", b"")
OPENED = DriverOpened("me", "1", "3")


def log(stored=(), epoch=1):
    return RunLog("r", list(stored), epoch, lambda: 5.0)


def test_records_follow_each_other_under_the_epoch_of_their_lease():
    ours = log(epoch=3)
    handed = [ours.append(CREATED)[1], ours.append(OPENED)[1]]
    records = unseal_all("r", [entry.record for entry in handed])
    assert [(one.seq, one.time, one.actor, one.epoch, one.event) for one in records] == [
        (1, 5.0, "driver", 3, CREATED),
        (2, 5.0, "driver", 3, OPENED),
    ]
    assert (ours.state.seq, ours.state.created) == (2, CREATED)
    assert [(one.run, one.epoch, one.time, one.outcome, one.reopens) for one in handed] == [
        ("r", 3, 5.0, None, False)
    ] * 2


def test_a_log_that_is_taken_up_goes_on_where_it_ended():
    first = log()
    stored = [first.append(CREATED)[1].record, first.append(OPENED)[1].record]
    second = log(stored, epoch=2)
    assert second.state.seq == 2
    stored.append(second.append(OPENED)[1].record)
    assert [one.epoch for one in unseal_all("r", stored)] == [1, 1, 2]


def test_a_store_is_told_of_ends_of_reopenings_of_blobs_and_of_who_did_it():
    ours = log()
    ours.append(CREATED)
    assert not ours.ended_here
    record, entry = ours.append(RunEnded("failed"), ("digest",), "user@host")
    assert (entry.outcome, entry.reopens, entry.blobs, record.actor) == ("failed", False, ("digest",), "user@host")
    assert ours.ended_here
    entry = ours.append(RunRetried(()))[1]
    assert (entry.outcome, entry.reopens, entry.blobs) == (None, True, ())
    assert not ours.ended_here


def test_an_end_of_an_earlier_life_is_none_of_this_one():
    first = log()
    stored = [first.append(CREATED)[1].record, first.append(RunEnded("failed"))[1].record]
    assert not log(stored, epoch=2).ended_here
    assert log(stored, epoch=2).state.ended == RunEnded("failed")
