"""The life of a call at its edges: what it records, what it counts, and what it does when asked what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

import regrow
from regrow.authoring import home
from regrow.authoring.driving import drive
from regrow.authoring.home import forget, host_of
from regrow.engine.branches import scope_here
from regrow.executors.inline import InlineExecutor
from regrow.journal.chain import unseal_all
from regrow.journal.records import (
    AttemptFailed,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    OutcomeDecided,
    RunCreated,
)
from regrow.journal.store import NewRun
from regrow.testing import Crash, CrashingStore, MemoryStore, faults, lost_worker
from regrow.values.policies import Bounds

AT_ONCE = regrow.Backoff(base=0.0, jitter=0.0)


@pytest.fixture
def store():
    return MemoryStore()


def driven(store, task, *args):
    """Run a task, and give its result or what it raised, and its driver."""
    host = host_of(store)
    store.create(NewRun("r", task.ref, 1.0))
    driver = host.take_up("r", created=RunCreated("r", task.ref, "", b"", b""))
    try:
        return drive(host, driver, task, args, {}), driver
    except Exception as error:
        return error, driver
    finally:
        forget(host)


def events(store, kind):
    run = store.runs()[0].id
    return [record.event for record in unseal_all(run, store.read(run)) if isinstance(record.event, kind)]


# -- attempts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_attempts_are_counted_timed_and_recorded_and_a_call_counts_as_executed_once(store, mode):
    tried = []

    def attempt() -> str:
        tried.append(regrow.current().attempt)
        if len(tried) < 3:
            raise ConnectionError(f"no {len(tried)}")
        return "yes"

    async def attempt_async() -> str:
        return attempt()

    step = regrow.step(retries=2, backoff=AT_ONCE, name="try")(attempt if mode == "sync" else attempt_async)

    @regrow.task
    def agent() -> str:
        return step()

    @regrow.task
    async def agent_async() -> str:
        return await step()

    result, driver = driven(store, agent if mode == "sync" else agent_async)
    assert (result, tried) == ("yes", [1, 2, 3])
    assert [failed.attempt for failed in events(store, AttemptFailed)] == [1, 2]
    done = events(store, CallSucceeded)[0]
    assert (done.attempt, done.call.path.rpartition("/")[2]) == (3, "try#1")
    starts = [one.started for one in events(store, AttemptFailed)] + [done.started]
    assert starts == sorted(starts)
    assert time.time() - 60 < starts[0] <= time.time()
    assert driver.tally.executed == 2


def test_a_call_that_fails_for_good_counts_as_executed_too(store):
    @regrow.step
    def fails() -> None:
        raise ConnectionError

    @regrow.task
    def agent() -> str:
        try:
            fails()
        except ConnectionError:
            return "handled"
        return "not raised"

    result, driver = driven(store, agent)
    assert (result, driver.tally.executed) == ("handled", 2)
    assert [failed.attempt for failed in events(store, CallFailed)] == [1]


def test_the_next_attempt_waits_for_its_moment_and_no_longer(store):
    moments = []

    @regrow.step(retries=1, backoff=regrow.Backoff(base=0.1, jitter=0.0))
    async def flaky() -> None:
        moments.append(time.time())
        if len(moments) == 1:
            raise ConnectionError

    @regrow.task
    async def agent() -> None:
        await flaky()

    driven(store, agent)
    (failed,) = events(store, AttemptFailed)
    assert moments[1] >= failed.retry_at
    assert failed.retry_at - failed.started >= 0.1


def test_a_deadline_counts_from_the_first_attempt(store):
    tried = []

    @regrow.step(retries=50, deadline=0.3, backoff=AT_ONCE)
    async def slow() -> None:
        tried.append(1)
        await asyncio.sleep(0.1)
        raise ConnectionError

    @regrow.task
    async def agent() -> None:
        await slow()

    error, _ = driven(store, agent)
    assert isinstance(error, regrow.TimedOut | ConnectionError)
    assert 1 < len(tried) < 10


def test_a_timeout_of_the_bodys_own_is_no_timeout_of_ours(store):
    @regrow.step(timeout=60.0)
    async def impatient() -> None:
        raise TimeoutError("mine")

    @regrow.task
    async def agent() -> None:
        await impatient()

    error, _ = driven(store, agent)
    assert (type(error), error.args) == (TimeoutError, ("mine",))


def test_a_result_that_cannot_be_stored_is_named_as_the_result(store):
    @regrow.step
    def opaque() -> object:
        return object()

    @regrow.task
    def agent() -> object:
        return opaque()

    error, _ = driven(store, agent)
    assert isinstance(error, regrow.NotStorable)
    assert str(error).startswith("result")


def test_inputs_of_a_task_that_cannot_be_stored_are_named_and_those_of_a_step_may_be_anything(store):
    @regrow.step
    def step(what: object) -> str:
        return "took it"

    @regrow.task
    def task(what: object) -> str:
        return "took it"

    @regrow.task
    def agent() -> list[str]:
        said = [step(object())]
        try:
            said.append(task(object()))
        except regrow.NotStorable as refused:
            said.append(str(refused))
        return said

    (first, second), _ = driven(store, agent)
    assert first == "took it"
    assert second.startswith("task")


def test_small_inputs_are_kept_for_people_to_read_and_large_ones_are_not(store):
    @regrow.step
    def step(what: bytes) -> None: ...

    @regrow.task
    def agent() -> None:
        for size in (10, 4000, 4200):
            step(bytes(size))

    driven(store, agent)
    shown = [len(done.call.inputs) for done in events(store, CallSucceeded) if "step" in done.call.path]
    assert 10 < shown[0] < 100
    assert 4000 < shown[1] <= 4096
    assert shown[2] == 0


def test_the_budget_of_a_run_is_its_drivers(store):
    host = host_of(store)
    for run, budget in (("r", Bounds(attempts=3)), ("s", None)):
        store.create(NewRun(run, "agent", 1.0))
        driver = host.take_up(run, created=RunCreated(run, "agent", "", b"", b"", budget=budget))
        assert driver.bounds == budget
        host.let_go(driver)
    forget(host)


@pytest.mark.promise("P3")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_result_is_durable_before_the_code_sees_it_also_beside_others(mode):
    class Slow(MemoryStore):
        def append(self, entries):
            time.sleep(0.005)  # whoever does not wait for it is ahead of it
            return super().append(entries)

    store = Slow()

    @regrow.step
    def step() -> None: ...

    @regrow.step
    async def step_async() -> None:
        await asyncio.sleep(0)

    def durable():
        return {done.call.path for done in events(store, CallSucceeded)}

    async def strand(name: str) -> None:
        for number in (1, 2, 3):
            if mode == "async":
                await step_async()
                assert f"agent#1/~strand#{name}/step_async#{number}" in durable()
            else:
                await asyncio.to_thread(threaded, f"agent#1/~strand#{name}/~threaded#{number}/step#1")

    def threaded(path: str) -> None:
        step()
        assert path in durable()

    @regrow.task
    async def agent() -> str:
        await asyncio.gather(*(strand(name) for name in "123"))
        return "done"

    assert driven(store, agent)[0] == "done"


def test_a_call_at_work_is_a_strand_at_work_until_it_ends_however_that_is(store):
    busy = []

    @regrow.step
    def step(fails: bool) -> None:
        busy.append(scope_here().outer.busy)
        if fails:
            raise ConnectionError

    @regrow.task
    def agent() -> None:
        scope = scope_here()
        for fails in (False, True):
            with contextlib.suppress(ConnectionError):
                step(fails)
            busy.append(scope.busy)

    driven(store, agent)
    assert busy == [1, 0, 1, 0]


def test_only_what_runs_in_a_worker_is_given_resources(store):
    given = {}

    class Here(InlineExecutor):
        ceiling = 2**40

        async def run(self, callee, scope, args, kwargs):
            given[callee.name] = scope.resources
            return await super().run(callee, scope, args, kwargs)

    @regrow.task(memory="64Mi")
    async def train() -> None: ...

    @regrow.task
    async def agent() -> None:
        await train()

    with home.use_executor(Here()):
        driven(store, agent)
    assert given["agent"] is None
    assert given["train"].memory == 64 * 2**20


@pytest.mark.parametrize("fails", [False, True])
def test_a_call_that_ends_after_its_run_was_let_go_of_has_no_outcome_yet(store, fails):
    @regrow.step
    def step() -> None:
        scope_here().driver.closing = True
        if fails:
            raise ConnectionError

    @regrow.task
    def agent() -> None:
        step()

    with pytest.raises(asyncio.CancelledError):
        driven(store, agent)
    assert [one.call.path for one in events(store, CallSucceeded | CallFailed | AttemptFailed)] == []


# -- giving up ---------------------------------------------------------------------------------------------------------


def test_a_call_that_the_code_gives_up_on_between_two_attempts_is_recorded_as_the_attempt_that_was_to_come(store):
    @regrow.step(retries=3, backoff=regrow.Backoff(base=3600.0, cap=3600.0))
    async def flaky() -> None:
        raise ConnectionError

    @regrow.task
    async def agent() -> str:
        try:
            async with asyncio.timeout(0.05):
                await flaky()
        except TimeoutError:
            return "gave up"
        return "got it"

    result, driver = driven(store, agent)
    assert result == "gave up"
    (given_up,) = events(store, CallCancelled)
    assert given_up.attempt == 2
    assert driver.root_branch().scope.busy == 0


def test_what_a_timeout_of_ours_cuts_short_inside_is_not_recorded_as_given_up(store):
    @regrow.step
    async def endless() -> None:
        await asyncio.sleep(3600)

    @regrow.step(timeout=0.03)
    async def bounded() -> None:
        await endless()

    @regrow.task
    async def agent() -> str:
        try:
            await bounded()
        except regrow.TimedOut as timed_out:
            return timed_out.path
        return "in time"

    assert driven(store, agent)[0] == "agent#1/bounded#1"
    assert events(store, CallCancelled) == []


# -- once --------------------------------------------------------------------------------------------------------------


class LosesWorkers(InlineExecutor):
    """Stands for a machine on which each worker is killed just after its task has begun."""

    ceiling = 2**40

    async def run(self, callee, scope, args, kwargs):
        if callee.isolated:
            raise regrow.WorkerLost(scope.path, signal="SIGKILL").explained(facts={"begun": True})
        return await super().run(callee, scope, args, kwargs)


def lost_charge(reconcile):
    """Run a once-only task whose worker is lost, and give what came of it."""

    @regrow.task(once=True, memory="64Mi", reconcile=reconcile)
    async def charge(amount: int) -> str:
        return f"charged {amount}"

    @regrow.task
    async def agent() -> object:
        return await charge(5)

    store = MemoryStore()
    with home.use_executor(LosesWorkers()):
        result, _ = driven(store, agent)
    return result, store


def test_a_once_only_task_whose_worker_is_lost_asks_what_became_of_it_and_takes_the_answer():
    result, store = lost_charge(lambda amount: regrow.Happened(f"found {amount}"))
    assert result == "found 5"
    (decided,) = events(store, OutcomeDecided)
    assert (decided.path, decided.happened, decided.reason) == ("agent#1/charge#1", True, "reconcile")
    assert events(store, CallFailed) == []
    assert [done.call.path for done in events(store, CallSucceeded)] == ["agent#1/charge#1", "agent#1"]


def test_a_once_only_task_that_did_not_happen_fails_of_what_ended_its_worker():
    result, store = lost_charge(lambda amount: regrow.DidNotHappen())
    assert isinstance(result, regrow.WorkerLost)
    (decided,) = events(store, OutcomeDecided)
    assert (decided.happened, decided.reason) == (False, "reconcile")
    assert events(store, AttemptFailed) == []


def test_a_once_only_task_of_which_nobody_can_say_stops_the_run():
    for reconcile in (None, lambda amount: None):
        result, store = lost_charge(reconcile)
        assert isinstance(result, regrow.OutcomeUnknown)
        assert result.path == "agent#1/charge#1"
        assert store.runs()[0].status == "failed"


def test_a_task_that_may_run_twice_is_tried_again_and_nobody_is_asked():
    @regrow.task(memory="64Mi")
    async def train() -> str:
        return "trained"

    @regrow.task
    async def agent() -> str:
        return await train()

    store = MemoryStore()
    with faults(lost_worker("train")):
        result, _ = driven(store, agent)
    assert (result, events(store, OutcomeDecided)) == ("trained", [])


def test_a_once_only_task_that_fails_by_itself_is_not_asked_about():
    @regrow.task(once=True, memory="64Mi", reconcile=lambda: regrow.Happened("found"))
    async def charge() -> str:
        raise ConnectionError("no")

    @regrow.task
    async def agent() -> str:
        return await charge()

    class Here(InlineExecutor):
        ceiling = 2**40

    store = MemoryStore()
    with home.use_executor(Here()):
        result, _ = driven(store, agent)
    assert isinstance(result, ConnectionError)
    assert events(store, OutcomeDecided) == []


@pytest.mark.parametrize("answer", ["yes", True, 5])
def test_an_answer_that_is_none_of_the_three_is_refused(answer):
    store = CrashingStore()
    dying = [True]

    @regrow.step(once=True, reconcile=lambda: answer)
    def charge() -> None:
        if dying:
            store.die_after(0)

    @regrow.task
    def agent() -> None:
        charge()

    with pytest.raises(Crash):
        regrow.run(agent, key="k", store=store)
    dying.clear()
    forget(host_of(store))
    store.revive()
    with pytest.raises(regrow.UsageError, match=r"must return regrow\.Happened"):
        regrow.run(agent, key="k", store=store)
    forget(host_of(store))


def test_what_is_announced_are_tasks_and_once_only_calls_and_steps_are_not(store):
    @regrow.step
    def step() -> None: ...

    @regrow.step(once=True)
    def charge() -> None: ...

    @regrow.task
    def inner() -> None: ...

    @regrow.task
    def agent() -> None:
        step()
        charge()
        inner()

    driven(store, agent)
    announced = [(one.call.path.rpartition("/")[2], one.attempt, one.once) for one in events(store, CallStarted)]
    assert announced == [("agent#1", 1, False), ("charge#1", 1, True), ("inner#1", 1, False)]
