"""A call's life step by step: what it says is to be done, in which order, and what is recorded by then."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

import regrow
from regrow.authoring.home import workers
from regrow.codec import rebuild
from regrow.engine.callee import Invocation
from regrow.engine.calls import DidNotHappen, Happened, _life
from regrow.engine.driver import GRACE_SECONDS
from regrow.engine.host import Host
from regrow.engine.todo import AwaitCancellation, AwaitRecorded, AwaitTurn, Hold, RunBody, WaitUntil
from regrow.healing.ladder import Ladder
from regrow.journal.chain import unseal_all
from regrow.journal.records import (
    AttemptFailed,
    CallCancelled,
    CallFailed,
    CallSucceeded,
    CheckpointSaved,
    OutcomeDecided,
    RunCreated,
)
from regrow.journal.store import NewRun
from regrow.remedies import RetryAfter
from regrow.testing import FakeClock, MemoryStore

pytestmark = pytest.mark.unit

AT_ONCE = regrow.Backoff(base=0.0, jitter=0.0)
OUTCOMES = CallSucceeded | CallFailed


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def driver(clock):
    store = MemoryStore()
    host = Host(store, workers, Ladder(), clock)
    store.create(NewRun("r", "agent", 1.0))
    yield host.take_up("r", created=RunCreated("r", "agent", "", b"", b""))
    host.close()


@pytest.fixture(params=["in a thread", "on a loop"])
def loop(request):
    """Stands for both worlds: None for a thread."""
    if request.param == "in a thread":
        yield None
        return
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class Lived:
    """A call's life, of which each step is done by the test. Records are let be: they are durable at once."""

    def __init__(self, driver, task, *args, loop=None):
        self.invocation = Invocation(task.callee, driver.root_branch(), args, {})
        self._life = _life(self.invocation, loop)
        self._go_on = lambda: next(self._life)

    def next(self, *, recorded=False):
        """Give the next thing that is to be done, or what the life has come to; records only if that is asked for."""
        while True:
            try:
                todo = self._go_on()
            except StopIteration as end:
                return ("gave", end.value)
            self.gives(None)
            if recorded or isinstance(todo, RunBody | WaitUntil | AwaitCancellation | AwaitRecorded | AwaitTurn | Hold):
                return todo

    def body(self):
        """Wait if need be, and give the callee and the scope of the body that is to be run."""
        while isinstance(todo := self.next(), WaitUntil):
            pass
        assert isinstance(todo, RunBody), todo
        return todo.callee, todo.scope

    def gives(self, result):
        """Let what is to be done give a result."""
        self._go_on = lambda: self._life.send(result)
        return self

    def fails(self, error):
        """Let what is to be done fail."""
        self._go_on = lambda: self._life.throw(error)
        return self


def events(driver, kind=OUTCOMES):
    driver._committer.flush()
    store = driver.around.store
    return [record.event for record in unseal_all("r", store.read("r")) if isinstance(record.event, kind)]


@regrow.step
def step(number: int = 1) -> int:
    return number


@regrow.step(retries=1, backoff=regrow.Backoff(base=60.0, jitter=0.0))
def retried() -> None: ...


@regrow.step(approve=True, retries=1, backoff=AT_ONCE)
def approved() -> str:
    return "done"


@regrow.step(on_failure=regrow.AskHuman())
def advised(number: int = 1) -> int:
    return number


@regrow.task(once=True, reconcile=lambda: None)
def charge() -> str:
    return "charged"


# -- runs that are held back or end ------------------------------------------------------------------------------------


def test_in_a_run_that_is_held_back_a_call_does_not_begin(driver, loop):
    driver.holding.begin()
    assert Lived(driver, step, loop=loop).next() == Hold("")
    assert events(driver) == []


def test_nor_does_a_further_attempt_and_then_it_is_the_call_itself_that_waits(driver, clock, loop):
    life = Lived(driver, retried, loop=loop)
    life.body()
    assert life.fails(ConnectionError()).next() == WaitUntil(clock.now + 60)
    driver.holding.begin()
    assert life.next() == Hold("retried#1")


def test_in_a_run_that_is_not_held_back_nothing_is_waited_for(driver, loop):
    life = Lived(driver, step, loop=loop)
    assert life.body()[0].name == "step"
    assert life.gives(5).next() == ("gave", 5)


def test_a_result_without_a_durable_form_is_named_as_the_result(driver, loop):
    life = Lived(driver, step, loop=loop)
    life.body()
    with pytest.raises(regrow.NotStorable, match=r"^result\b(?!\?)"):
        life.gives(object()).next()


def test_an_attempt_does_not_begin_in_a_run_that_has_ended_while_it_waited(driver, loop):
    life = Lived(driver, retried, loop=loop)
    life.body()
    life.fails(ConnectionError()).next()
    driver.closing = True
    with pytest.raises(asyncio.CancelledError):
        life.next()
    assert events(driver) == []


# -- turns -------------------------------------------------------------------------------------------------------------


def known_to(driver, path):
    """Let the code meet a call of which there are records already."""
    known = driver.log.state.calls[path]
    driver.meet = lambda _: (known.call, known)
    return known


def test_only_a_coroutine_waits_for_its_turn_to_be_replayed(driver, loop):
    life = Lived(driver, step, loop=loop)
    life.body()
    life.gives(5).next()
    known = known_to(driver, "step#1")
    driver.is_out_of_turn = lambda _: True
    again = Lived(driver, step, loop=loop)
    if loop is not None:
        assert again.next() == AwaitTurn(known)
    assert again.next() == ("gave", 5)


@pytest.mark.parametrize("fails", [False, True])
def test_only_a_coroutine_lets_what_is_recorded_go_before_its_new_outcome(driver, loop, fails):
    driver.is_ahead = lambda: True
    life = Lived(driver, step, loop=loop)
    life.body()
    life = life.fails(LookupError("none")) if fails else life.gives(5)
    if loop is not None:
        assert life.next() == AwaitRecorded()
        assert events(driver) == []
    if fails:
        with pytest.raises(LookupError):
            life.next()
    else:
        assert life.next() == ("gave", 5)
    assert len(events(driver)) == 1


# -- the cache ---------------------------------------------------------------------------------------------------------


@regrow.task(cache=True)
def compute() -> int:
    return 7


@regrow.task(cache=regrow.Cache(failures=True))
def refuse() -> int:
    raise LookupError


def computed(driver, clock, task, give):
    """Let a call take three seconds, and give what the cache then has of it."""
    life = Lived(driver, task)
    life.body()
    clock.advance(3.0)
    give(life).next()
    (row,) = driver.around.cache.rows()
    return row


def test_what_is_shared_says_how_long_it_has_taken(driver, clock):
    assert computed(driver, clock, compute, lambda life: life.gives(7)).seconds == pytest.approx(3.0)


def test_a_failure_that_is_shared_says_so_too(driver, clock):
    with pytest.raises(LookupError):
        computed(driver, clock, refuse, lambda life: life.fails(LookupError()))
    (row,) = driver.around.cache.rows()
    assert (row.failed, row.seconds) == (True, pytest.approx(3.0))


def test_a_hit_too_lets_what_is_recorded_go_first_on_a_loop(driver, clock, loop):
    computed(driver, clock, compute, lambda life: life.gives(7))
    driver.is_ahead = lambda: True
    life = Lived(driver, compute, loop=loop)
    if loop is not None:
        assert life.next() == AwaitRecorded()
        assert len(events(driver)) == 1
    assert life.next() == ("gave", 7)
    assert [one.hit is not None for one in events(driver)] == [False, True]


def test_a_hit_waits_for_nothing_where_nothing_recorded_is_left(driver, clock, loop):
    computed(driver, clock, compute, lambda life: life.gives(7))
    assert Lived(driver, compute, loop=loop).next() == ("gave", 7)


def test_a_hit_is_not_taken_in_a_run_that_has_ended_while_it_waited(driver, clock):
    computed(driver, clock, compute, lambda life: life.gives(7))
    driver.is_ahead = lambda: True
    with asyncio.Runner() as runner:
        life = Lived(driver, compute, loop=runner.get_loop())
        life.next()
        driver.closing = True
        with pytest.raises(asyncio.CancelledError):
            life.next()
    assert len(events(driver)) == 1
    assert driver.tally.cached == 0


def test_the_checkpoint_of_a_task_that_is_answered_by_the_cache_is_let_go_of(driver, clock):
    computed(driver, clock, compute, lambda life: life.gives(7))
    released = []
    driver.around.release_blobs = lambda run, digests: released.append((run, digests))
    checkpoint = CheckpointSaved("compute#2", 1, 1, b"", ("digest",))
    driver.checkpoint_of = {"compute#2": checkpoint}.get
    assert Lived(driver, compute).next() == ("gave", 7)
    assert released == [("r", ("digest",))]


# -- approvals ---------------------------------------------------------------------------------------------------------


def test_who_approves_is_asked_where_the_call_is_made_before_each_attempt(driver, loop):
    life = Lived(driver, approved, loop=loop)
    for attempt in (1, 2):
        asker, scope = life.body()
        assert (asker.name, asker.mode, scope.attempt) == ("approval", "sync" if loop is None else "async", attempt)
        body, scope = life.gives(None).body()
        assert (body.name, scope.attempt) == ("approved", attempt)
        life.fails(ConnectionError())
    with pytest.raises(ConnectionError):
        life.next()


def test_a_denial_is_recorded_as_the_calls_failure_at_the_attempt_that_it_was_about(driver, loop):
    life = Lived(driver, approved, loop=loop)
    life.body()
    life.gives(None).body()
    life.fails(ConnectionError()).body()
    with pytest.raises(regrow.Denied):
        life.fails(regrow.Denied("approved#1", "ann")).next()
    (failed,) = events(driver)
    assert (failed.attempt, failed.call.path, rebuild(failed.error).who) == (2, "approved#1", "ann")


def test_a_denial_that_comes_after_the_run_was_let_go_of_is_not_recorded(driver, loop):
    life = Lived(driver, approved, loop=loop)
    life.body()
    driver.closing = True
    with pytest.raises(asyncio.CancelledError):
        life.fails(regrow.Denied("approved#1", "ann")).next()
    assert events(driver) == []


# -- advice ------------------------------------------------------------------------------------------------------------


def put_to_people(driver, loop=None):
    """Let a call fail that then asks people what is to be done; give its life from there on."""
    life = Lived(driver, advised, loop=loop)
    life.body()
    asker, scope = life.fails(LookupError("none")).body()
    assert (asker.name, asker.mode, scope.attempt) == ("advice", "sync" if loop is None else "async", 1)
    assert len(events(driver, AttemptFailed)) == 1
    return life


def test_the_result_that_people_supply_is_recorded_and_given_and_nothing_is_executed(driver, loop):
    life = put_to_people(driver, loop)
    assert life.gives({"result": 44}).next() == ("gave", 44)
    (done,) = events(driver)
    assert (done.attempt, driver.load(done.value)) == (2, 44)


def test_a_failure_that_people_hand_over_is_recorded_and_raised(driver, loop):
    life = put_to_people(driver, loop)
    with pytest.raises(LookupError, match="none"):
        life.gives("give up").next()
    (failed,) = events(driver)
    assert (type(failed), failed.attempt) == (CallFailed, 2)


def test_people_who_stop_the_run_cancel_it_and_the_call_has_no_outcome(driver, loop):
    life = put_to_people(driver, loop)
    with pytest.raises(asyncio.CancelledError):
        life.gives("stop").next()
    assert driver.cancelled_by == "whoever was asked about advised#1"
    assert events(driver, OUTCOMES | CallCancelled) == []


def test_what_people_advise_is_the_remedy_that_the_next_attempt_is_made_with(driver, loop):
    life = put_to_people(driver, loop)
    body, scope = life.gives("retry").body()
    assert (body.name, scope.attempt) == ("advised", 2)
    assert [failed.remedy for failed in scope.failures] == [RetryAfter(0.0)]


def test_other_arguments_that_people_name_are_those_of_the_next_attempt(driver, loop):
    life = put_to_people(driver, loop)
    body, scope = life.gives({"inputs": {"number": 12}}).body()
    assert (body.name, scope.attempt) == ("advised", 2)
    assert (*life.invocation.args, *life.invocation.kwargs.values()) == (12,)


def test_what_is_tried_again_on_advice_must_be_approved_again(driver, loop):
    @regrow.step(approve=True, on_failure=regrow.AskHuman())
    def guarded() -> None: ...

    life = Lived(driver, guarded, loop=loop)
    life.body()
    life.gives(None).body()
    life.fails(LookupError("none")).body()
    asker, scope = life.gives("retry").body()
    assert (asker.name, scope.attempt) == ("approval", 2)
    assert life.gives(None).body()[0].name == "guarded"


def test_what_people_say_after_the_run_was_let_go_of_is_left_for_later(driver, loop):
    life = put_to_people(driver, loop)
    driver.closing = True
    with pytest.raises(asyncio.CancelledError):
        life.gives({"result": 44}).next()
    assert events(driver) == []


# -- once --------------------------------------------------------------------------------------------------------------


def given_up(driver, clock):
    """Let the code give up on a once-only call that has begun."""
    life = Lived(driver, charge)
    life.body()
    clock.advance(2.0)
    with pytest.raises(asyncio.CancelledError):
        life.fails(asyncio.CancelledError()).next()
    assert len(events(driver, CallCancelled)) == 1
    known = known_to(driver, "charge#1")
    assert known.patience >= 2.0
    again = Lived(driver, charge)
    assert again.next() == AwaitCancellation(clock.now + known.patience + GRACE_SECONDS)
    return again


def test_edited_code_that_waits_for_a_once_only_call_it_had_given_up_on_is_told_what_became_of_it(driver, clock):
    again = given_up(driver, clock)
    assert again.body()[0] is charge.callee.reconciler
    assert again.gives(Happened("found")).next() == ("gave", "found")
    assert [decided.happened for decided in events(driver, OutcomeDecided)] == [True]


def test_and_if_it_had_not_happened_it_does_now(driver, clock):
    again = given_up(driver, clock)
    again.body()
    assert again.gives(DidNotHappen()).body()[0] is charge.callee
    assert again.gives("charged").next() == ("gave", "charged")


def tried_twice(driver):
    """Let a once-only call fail; then nobody knows what became of its second attempt, in a run that was retried."""
    life = Lived(driver, charge)
    life.body()
    with pytest.raises(ConnectionError):
        life.fails(ConnectionError()).next()
    known = driver.log.state.calls["charge#1"]
    driver.log.state.calls["charge#1"] = msgspec.structs.replace(known, outcome=None, attempts=(known.outcome,))
    known_to(driver, "charge#1")
    return Lived(driver, charge)


def test_whoever_knows_what_became_of_a_call_is_asked_about_the_attempt_in_question(driver):
    _, scope = tried_twice(driver).body()
    assert scope.attempt == 2


def test_code_that_gives_up_as_somebody_says_what_happened_has_given_up_on_that_attempt(driver):
    life = tried_twice(driver)
    life.body()
    life.gives(Happened("found")).next(recorded=True)
    life.next(recorded=True)
    (_, done) = events(driver)
    with pytest.raises(asyncio.CancelledError):
        life.fails(asyncio.CancelledError()).next()
    (given_up,) = events(driver, CallCancelled)
    assert given_up.attempt == done.attempt == 2


def test_a_once_only_call_without_a_worker_that_fails_of_a_lost_one_is_not_asked_about(driver):
    life = Lived(driver, charge)
    life.body()
    with pytest.raises(regrow.WorkerLost):
        life.fails(regrow.WorkerLost("charge#1")).next()
    assert events(driver, OutcomeDecided) == []
    assert [type(one) for one in events(driver)] == [CallFailed]
