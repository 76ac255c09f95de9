"""How a run ends, or is let go of: what is recorded, and what its caller is told."""

from __future__ import annotations

import asyncio

import pytest

import regrow
from regrow.authoring.home import forget, host_of
from regrow.engine.conclude import conclude
from regrow.errors import Divergence, OutcomeUnknown, RunPaused, RunStopped, StoreUnavailable
from regrow.journal.chain import unseal_all
from regrow.journal.records import DriverClosed, RunCreated, RunEnded
from regrow.journal.store import NewRun
from regrow.testing import MemoryStore


class Ending:
    """A run whose code has come to its end, in whichever way."""

    def __init__(self):
        self.store = MemoryStore()
        self.host = host_of(self.store)
        self.store.create(NewRun("r", "agent", 1.0))
        self.driver = self.host.take_up("r", created=RunCreated("r", "agent", "", b"", b""))
        self.driver.tally.replayed, self.driver.tally.seconds_saved = 3, 1.5

    def with_(self, error):
        return conclude(self.host, self.driver, "agent#1", error)

    @property
    def last(self):
        return unseal_all("r", self.store.read("r"))[-1].event

    @property
    def status(self):
        return self.store.get("r").status


@pytest.fixture
def ending():
    ending = Ending()
    yield ending
    assert ending.host._drivers == {}
    forget(ending.host)


def test_a_result_ends_a_run_in_success_and_tells_nothing(ending):
    assert ending.with_(None) is None
    assert (ending.last, ending.status) == (RunEnded("succeeded", replayed=3, seconds_saved=1.5), "succeeded")


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError()])
def test_an_error_ends_a_run_in_failure_and_names_what_to_try_again(ending, error):
    assert ending.with_(error) is error
    assert (ending.last.outcome, ending.last.again, ending.last.replayed) == ("failed", ("agent#1",), 3)
    assert ending.last.error.summary().startswith(type(error).__name__)
    assert ending.status == "failed"


def test_a_cancelled_run_ends_cancelled_and_says_by_whom(ending):
    ending.driver.cancelled_by = "somebody"
    told = ending.with_(asyncio.CancelledError())
    assert isinstance(told, regrow.RunCancelled)
    assert "cancelled by somebody" in str(told)
    assert (ending.last.outcome, ending.last.again, ending.last.reason) == (
        "cancelled",
        ("agent#1",),
        "cancelled by somebody",
    )


def test_a_cancelled_run_that_fails_while_it_cleans_up_has_failed(ending):
    ending.driver.cancelled_by = "somebody"
    error = ValueError("no")
    assert ending.with_(error) is error
    assert ending.last.outcome == "failed"


def test_a_cancelled_run_that_comes_to_its_result_all_the_same_has_succeeded(ending):
    ending.driver.cancelled_by = "somebody"
    assert ending.with_(None) is None
    assert ending.last.outcome == "succeeded"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_what_ends_the_process_leaves_a_run_unfinished_and_goes_on(ending, error):
    assert ending.with_(error) is error
    assert ending.last == DriverClosed(type(error).__name__, 3, 1.5)
    assert ending.status == "interrupted"


@pytest.mark.parametrize("error", [None, asyncio.CancelledError(), ValueError("no")])
def test_a_run_that_is_let_go_of_stays_unfinished_however_its_code_ends(ending, error):
    ending.driver.let_go()
    told = ending.with_(error)
    assert told is error if error is not None else isinstance(told, asyncio.CancelledError)
    assert ending.last == DriverClosed(type(error).__name__ if error is not None else "let go", 3, 1.5)
    assert ending.status == "interrupted"


@pytest.mark.parametrize("why", [Divergence("agent#1", "edited"), OutcomeUnknown("agent#1", "key")])
def test_a_run_that_somebody_must_look_at_has_failed_and_says_how_to_go_on(ending, why):
    ending.driver.halt(why)
    assert ending.with_(ValueError("what the code made of it")) is why
    assert (ending.last.outcome, ending.last.again) == ("failed", ())
    assert ending.last.error.summary().startswith(type(why).__name__)
    assert any("this stopped run r" in note and "regrow why r" in note for note in why.__notes__)


def test_a_run_whose_store_failed_records_nothing_more_and_tells_that(ending):
    why = StoreUnavailable("full")
    ending.driver.halt(why)
    assert ending.with_(None) is why
    assert not isinstance(ending.last, RunEnded | DriverClosed)
    assert ending.status == "interrupted"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_who_ends_the_process_is_heard_before_what_halted_the_run(ending, error):
    ending.driver.halt(StoreUnavailable("full"))
    assert ending.with_(error) is error


def test_a_run_that_has_ended_already_does_not_end_again(ending):
    ending.driver.hand_in(RunEnded("cancelled"))
    ending.with_(None)
    assert ending.last == RunEnded("cancelled")


def test_strands_that_are_left_behind_are_no_part_of_the_run_any_more(ending):
    ending.with_(None)
    assert ending.driver.closing
    with pytest.raises(asyncio.CancelledError):
        ending.driver.check()


@pytest.mark.parametrize("error", [None, ValueError("no"), asyncio.CancelledError()])
def test_whatever_the_code_of_a_run_comes_to_that_was_ended_by_force_is_no_part_of_it(ending, error):
    assert ending.driver.end_by_force("somebody")
    told = ending.with_(error)
    assert isinstance(told, regrow.RunCancelled)
    assert "cancelled by somebody" in str(told)
    assert ending.last.reason == "cancelled by somebody, by force"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_who_ends_the_process_is_heard_before_whatever_else_was_ordered(ending, error):
    ending.driver.let_go(RunPaused("r", "somebody", 1.0))
    assert ending.with_(error) is error
    assert ending.status == "interrupted"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_who_ends_the_process_is_heard_in_a_run_that_was_ended_by_force(ending, error):
    ending.driver.end_by_force("somebody")
    assert ending.with_(error) is error
    assert ending.status == "cancelled"


@pytest.mark.parametrize("error", [None, asyncio.CancelledError(), ValueError("no")])
@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (RunPaused("r", "somebody", 1.0), "paused by somebody"),
        (RunStopped("r", "somebody", 1.0, "", ""), "stopped by somebody"),
        (RunStopped("r", "somebody", 1.0, "too dear", ""), "stopped by somebody: too dear"),
    ],
)
def test_whoever_waits_for_a_run_that_was_paused_or_stopped_is_told_by_whom(ending, why, reason, error):
    ending.driver.let_go(why)
    assert ending.with_(error) is why
    assert ending.last.reason == reason
