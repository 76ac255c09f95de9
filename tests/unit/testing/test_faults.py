"""Faults that are played inside the test's own process, and the ladder that answers them."""

from __future__ import annotations

import asyncio

import pytest

import regrow
from regrow.authoring import home
from regrow.testing import (
    Crash,
    MemoryStore,
    MortalStore,
    crash_after,
    disk_full,
    faults,
    lost_worker,
    oom,
    preempt,
    rate_limit,
    slow,
    unavailable,
)

AT_ONCE = regrow.Backoff(base=0.0, jitter=0.0)


@pytest.fixture
def ran():
    return []


@pytest.fixture
def train(ran):
    """Give a task that has limits, and would have a worker of its own."""

    @regrow.task(memory="64Mi", on_oom=regrow.grow(2))
    def train(number):
        ran.append(number)
        return number

    return train


def run(task, *args, **kwargs):
    return regrow.run(task, *args, store=MemoryStore(), **kwargs)


def calling(function, *arguments):
    @regrow.task
    async def agent():
        return [await function.aio(argument) for argument in arguments]

    return agent


# -- which calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "struck"),
    [("train", [1, 2, 3]), ("train#2", [2]), ("agent#1/train#3", [3]), ("agent#1/train", [1, 2, 3])],
)
def test_a_target_names_all_calls_of_a_name_or_one_of_them(train, ran, target, struck):
    limits = {}

    @regrow.task(memory="64Mi", on_failure=lambda failure: limits.update({failure.path: failure}) or regrow.Resume())
    def train(number):
        return number

    with faults(oom(target)) as block:
        assert run(calling(train, 1, 2, 3)) == [1, 2, 3]
    assert sorted(limits) == [f"agent#1/train#{number}" for number in struck]
    assert block.struck(target) == len(struck)


def test_a_name_is_no_part_of_another_name(train):
    with pytest.raises(AssertionError, match=r"never struck: oom\('rain'\)"), faults(oom("rain")):
        run(calling(train, 1))


def test_each_named_call_is_struck_in_its_first_attempts(train):
    with faults(preempt("train", times=2)) as block:
        assert run(calling(train, 1, 2)) == [1, 2]
    assert block.struck("train") == 4


def test_a_fault_with_a_chance_strikes_the_same_attempts_with_the_same_seed():
    def struck_with(seed):
        struck = set()

        @regrow.task(on_failure=lambda failure: struck.add(failure.path) or regrow.RetryAfter(0))
        async def work(number):
            return number

        with faults(unavailable("work", chance=0.5), seed=seed):
            run(calling(work, *range(20)))
        return struck

    assert struck_with(1) == struck_with(1)
    assert struck_with(1) != struck_with(2)
    assert 0 < len(struck_with(1)) < 20


# -- what they are -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (oom("work"), regrow.OutOfMemory),
        (preempt("work", times=99), regrow.Preempted),
        (lost_worker("work", times=99), regrow.WorkerLost),
        (disk_full("work"), regrow.DiskFull),
        (rate_limit("work", retry_after=2), regrow.RateLimited),
        (unavailable("work"), regrow.Unavailable),
    ],
)
@pytest.mark.parametrize("kind", [regrow.task, regrow.step])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_fault_reaches_the_code_as_the_failure_that_it_plays(fault, failure, kind, asynchronous):
    ran = []

    def sync_work():
        ran.append(1)

    async def async_work():
        ran.append(1)

    work = kind(name="work")(async_work if asynchronous else sync_work)

    @regrow.task
    async def agent():
        try:
            await work.aio()
        except failure as caught:
            return caught.path, caught.evidence, caught.describe()

    with faults(fault):
        path, evidence, described = run(agent)
    assert path == "agent#1/work#1"
    assert evidence == (f"{fault}, injected by regrow.testing.faults",)
    assert "injected by regrow.testing" in described
    assert ran == []


def test_a_caught_fault_is_replayed_as_the_same_failure():
    store = MortalStore()
    seen = []

    @regrow.step
    def ask():
        return "answer"

    @regrow.task
    def agent():
        try:
            ask()
        except regrow.RateLimited as limited:
            seen.append(limited.retry_after)
        return regrow.now() and "done"

    with faults(rate_limit("ask", retry_after=7), crash_after("now")), pytest.raises(Crash):
        regrow.run(agent, key="k", store=store)
    store.revive()
    assert regrow.run(agent, key="k", store=store) == "done"
    assert seen == [7, 7]


def test_running_out_of_memory_grows_the_limit(train, ran):
    store = MemoryStore()
    with faults(oom("train#2")):
        assert regrow.run(calling(train, 1, 2), store=store) == [1, 2]
    assert ran == [1, 2]
    grown = [one for one in events(store) if type(one).__name__ == "AttemptFailed"]
    assert [(one.call.path, one.remedy, one.chosen_by) for one in grown] == [
        ("agent#1/train#2", regrow.Grow(memory=128 * 2**20), "on_oom")
    ]


def test_a_preempted_task_goes_on_from_its_checkpoint():
    done = []

    @regrow.task
    async def train():
        for number in range(regrow.checkpoint().load(0), 3):
            done.append(number)
            regrow.checkpoint().save(number + 1)
            await asyncio.sleep(0.05)
        return "trained"

    with faults(preempt("train", after="70ms")):
        assert run(train) == "trained"
    assert done == [0, 1, 2]


def test_what_a_preemption_cuts_short_inside_is_not_taken_for_given_up():
    @regrow.step
    async def epoch():
        await asyncio.sleep(0.1)
        return "epoch"

    @regrow.task
    async def train():
        return await epoch()

    store = MemoryStore()
    with faults(preempt("train", after="10ms")):
        assert regrow.run(train, store=store) == "epoch"
    assert "CallCancelled" not in [type(one).__name__ for one in events(store)]


def test_a_body_that_ends_before_the_fault_is_not_struck():
    @regrow.task
    async def quick():
        return 1

    with pytest.raises(AssertionError, match="never struck: preempt"), faults(preempt("quick", after="10s")):
        assert run(quick) == 1


def test_a_synchronous_body_cannot_be_cut_short_in_its_own_process(train):
    with pytest.raises(regrow.UsageError, match="real=True"), faults(preempt("train", after="1s")):
        run(calling(train, 1))


def test_a_rate_limit_is_waited_out_by_retries():
    @regrow.step(retries=1, backoff=AT_ONCE)
    async def ask(prompt):
        return f"answer to {prompt}"

    with faults(rate_limit("ask", times=3, retry_after=0.01)) as block:
        assert run(calling(ask, "q")) == ["answer to q"]
    assert block.struck("ask") == 3


def test_a_service_that_stays_away_longer_than_the_retries_fails_the_call():
    @regrow.step(retries=2, backoff=AT_ONCE)
    async def ask(prompt):
        return prompt

    with faults(unavailable("ask", times=3)), pytest.raises(regrow.Unavailable, match=r"agent#1/ask#1 got no answer"):
        run(calling(ask, "q"))


@pytest.mark.parametrize("isolated", [False, True])
def test_a_slow_call_runs_into_its_timeout(isolated):
    @regrow.task(timeout="100ms", isolate=isolated)
    async def work():
        return "in time"

    with faults(slow("work", by="10s")), pytest.raises(regrow.TimedOut):
        run(work)


def test_a_slow_call_within_its_timeout_gives_its_result():
    @regrow.task(timeout="10s", retries=0)
    async def work():
        return "in time"

    with faults(slow("work", by="20ms")):
        assert run(work) == "in time"


# -- the death of the process ------------------------------------------------------------------------------------------


@pytest.fixture
def order(ran):
    @regrow.step
    def charge(amount):
        ran.append("charge")
        return amount

    @regrow.step
    def mail():
        ran.append("mail")

    @regrow.task
    def order():
        charge(5)
        ran.append("after charge")
        mail()
        return "sent"

    return order


def test_a_crash_after_a_call_leaves_its_record_and_nothing_after_it(order, ran):
    store = MortalStore()
    with faults(crash_after("charge")), pytest.raises(Crash):
        regrow.run(order, key="k", store=store)
    assert ran == ["charge"]
    assert type(events(store)[-1]).__name__ == "CallSucceeded"
    store.revive()
    assert regrow.run(order, key="k", store=store) == "sent"
    assert ran == ["charge", "after charge", "mail"]


def test_a_run_can_be_resumed_inside_the_block_too(order, ran):
    store = MortalStore()
    with faults(crash_after("charge"), crash_after("mail")):
        for _ in range(2):
            with pytest.raises(Crash):
                regrow.run(order, key="k", store=store)
            store.revive()
        assert regrow.run(order, key="k", store=store) == "sent"
    assert ran.count("charge") == ran.count("mail") == 1


def test_a_crash_needs_a_store_that_can_crash(order):
    with pytest.raises(regrow.UsageError, match="regrow_store"), faults(crash_after("charge")):
        run(order)


# -- a test that tests nothing -----------------------------------------------------------------------------------------


def test_a_fault_that_never_strikes_fails_the_block_and_is_named(train):
    with (
        pytest.raises(AssertionError, match=r"never struck: oom\('train#4'\)\. "),
        faults(oom("train#1"), oom("train#4")),
    ):
        run(calling(train, 1, 2))


def test_a_block_that_fails_is_not_told_of_faults_as_well(train):
    with pytest.raises(KeyError), faults(oom("train")):
        raise KeyError


def test_a_call_that_is_answered_from_the_journal_is_not_struck(train):
    store = MemoryStore()
    agent = calling(train, 1)
    with faults(oom("train")):
        regrow.run(agent, key="k", store=store)
    with pytest.raises(AssertionError, match="answered from the journal"), faults(oom("train")):
        regrow.run(agent, key="k", store=store)


@pytest.mark.parametrize("wrong", [lambda: oom(""), lambda: oom("x", times=0), lambda: oom("x", chance=0)])
def test_a_fault_that_could_never_strike_is_refused(wrong):
    with pytest.raises(regrow.UsageError, match="a fault names a call"):
        wrong()


def test_after_the_block_everything_is_as_before(train):
    store = MemoryStore()
    host = home.host_of(store)
    before = host.executor
    with faults(oom("train")):
        regrow.run(calling(train, 1), store=store)
        assert host.executor is not before
    assert host.executor is before


def events(store):
    from regrow.journal.chain import unseal_all

    run = store.runs()[0].id
    ending = ("DriverClosed", "RunEnded")
    records = [one.event for one in unseal_all(run, store.read(run))]
    return [one for one in records if type(one).__name__ not in ending]
