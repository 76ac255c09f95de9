"""Tasks inside tasks inside tasks: nobody waits for ever, nothing is done twice, children end with their parents."""

from __future__ import annotations

import asyncio

import pytest

import regrow
from regrow.authoring.home import host_of
from regrow.journal.records import AttemptFailed, CallCancelled, CallSucceeded, Diverged, WorkerEnded, WorkerStarted

from . import nesting_agents as agents
from .observed import counted, effects, is_gone, journal, meanwhile, said, wait_until

pytestmark = pytest.mark.process

PARENTS = ["parent_in_the_driver", "isolated_parent", "synchronous_parent"]


# -- children end with their parents -----------------------------------------------------------------------------------


def nobody_is_left():
    """Tell whether every worker that was started is gone, and that this is recorded."""
    seen = journal()
    started = {(one.path, one.attempt) for one in seen.of(WorkerStarted)}
    assert {(one.path, one.attempt) for one in seen.of(WorkerEnded)} == started
    return started and all(is_gone(one.pid) for one in seen.of(WorkerStarted))


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("parent", "bound", "which"),
    [
        *((parent, "timeout", "child") for parent in PARENTS),
        ("parent_in_the_driver", "deadline", "child"),
        ("isolated_parent", "deadline", "child"),
        ("parent_in_the_driver", "timeout", "deaf_child"),
        ("isolated_parent", "timeout", "deaf_child"),
    ],
)
def test_the_end_of_a_parents_time_is_the_end_of_its_children(parent, bound, which):
    assert regrow.run(agents.bounded, parent, which, bound) == bound
    assert is_gone(int(said("child")))
    assert nobody_is_left()
    assert journal().row.status == "succeeded"


@pytest.mark.parametrize("parent", PARENTS)
def test_cancelling_a_run_ends_the_children_of_its_tasks(parent):
    async def main():
        handle = await regrow.start(getattr(agents, parent), "child")
        pid = int(await asyncio.to_thread(wait_until, lambda: said("child")))
        await handle.cancel()
        assert is_gone(pid)
        with pytest.raises(regrow.RunCancelled):
            await handle.result()

    asyncio.run(main())
    assert journal().row.status == "cancelled"
    assert nobody_is_left()


def test_a_synchronous_run_that_is_cancelled_from_outside_ends_its_worker():
    def cancel():
        wait_until(lambda: said("child"))
        store = host_of(None).store
        store.request_cancel(store.runs()[0].id, "somebody")

    cancelling = meanwhile(cancel)
    with pytest.raises(regrow.RunCancelled, match="somebody"):
        regrow.run(agents.synchronous_run_with_a_child)
    cancelling.join()
    assert nobody_is_left()


@pytest.mark.parametrize("where", ["impatient", "impatient_in_a_worker"])
def test_a_timeout_of_the_codes_own_around_a_worker_ends_it_and_is_recorded_as_given_up(where):
    assert regrow.run(getattr(agents, where), "child") == "given up"
    assert is_gone(int(said("child")))
    assert nobody_is_left()
    assert [one.call.path for one in journal().of(CallCancelled)] == [f"{where}#1/child#1"]
    assert journal().of(AttemptFailed) == []


# -- deep --------------------------------------------------------------------------------------------------------------

LABELS = [
    *(f"{a}.step" for a in range(3)),
    *(f"{a}.{b}.step" for a in range(3) for b in range(3)),
    *(f"{a}.{b}.{c}.step" for a in range(3) for b in range(3) for c in range(3)),
]


def test_three_levels_of_tasks_that_each_want_the_whole_host_all_finish():
    assert regrow.run(agents.three_deep) == len(LABELS) == 39
    assert counted() == dict.fromkeys(LABELS, 1)
    seen = journal()
    assert len(seen.of(WorkerStarted)) == 39
    assert len([one for one in seen.of(CallSucceeded, "leaf") if one.call.kind == "step"]) == 39
    assert seen.of(Diverged) == seen.of(AttemptFailed) == []
    assert nobody_is_left()


def test_blocking_tasks_that_each_want_the_whole_host_all_finish():
    assert regrow.run(agents.call, "blocking_outer") == 7
    inside = [f"{label}.step" for label in ("0", "1", "0.0", "0.1", "1.0", "1.1")]
    assert counted() == dict.fromkeys(["step", *inside], 1)


@pytest.mark.promise("P2")
def test_a_worker_that_is_killed_halfway_finds_what_it_had_done_recorded():
    assert regrow.run(agents.call, "dies_halfway") == [1, 1, 1]
    assert counted() == {"first": 1, "second.step": 1, "third": 1}
    (failed,) = journal().of(AttemptFailed)
    assert (failed.call.path, failed.counts) == ("call#1/dies_halfway#1", False)
    assert journal().of(Diverged) == []


DEEP = """
    @regrow.step
    def leaf(label: str) -> int:
        effect(label)
        return 1

    @regrow.task(cpu=2)
    def inner(label: str) -> int:
        done = leaf(label + ".first")
        {fatal}
        return done + leaf(label + ".second")

    @regrow.task(cpu=2)
    async def middle(label: str) -> int:
        return leaf(label) + sum(await asyncio.gather(*(inner.aio(f"{{label}}.{{one}}") for one in range(3))))

    @regrow.task(cpu=2)
    async def outer(label: str) -> int:
        return leaf(label) + sum(await asyncio.gather(*(middle.aio(f"{{label}}.{{one}}") for one in range(3))))

    @regrow.task
    async def main() -> int:
        return sum(await asyncio.gather(*(outer.aio(str(one)) for one in range(2))))

    if __name__ == "__main__":
        with open("driver", "w") as file:
            file.write(str(os.getpid()))
        print(regrow.run(main, key="deep", strict=True))
"""
KILL_THE_DRIVER = """
        if label in ("0.1.2", "1.2.0"):
            try:
                os.close(os.open(f"died-{label}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(int(open("driver").read()), signal.SIGKILL)
                time.sleep(30)
"""


def recorded_steps(program):
    return [
        one.event.call.path
        for one in program.records()
        if isinstance(one.event, CallSucceeded) and one.event.call.kind == "step"
    ]


@pytest.mark.promise("P2")
def test_after_kill_nine_of_the_driver_no_step_that_a_worker_had_recorded_is_executed_again(program):
    story = program(DEEP.format(fatal=KILL_THE_DRIVER.strip()))
    steps = 2 + 6 + 2 * 18
    lost = 0
    for _ in range(2):
        before = story.ledger().total()
        died = story.run()
        assert died.returncode == -9, died.err
        recorded = recorded_steps(story)
        lost = story.ledger().total() - len(recorded)
        assert story.ledger().total() > before
    last = story.run()
    assert (last.returncode, last.out) == (0, f"{steps}\n"), last.err
    final = recorded_steps(story)
    assert len(final) == len(set(final)) == steps
    # What was in flight when the driver died may have had its effect without a record: never more than that repeats.
    assert sum(story.ledger().values()) == steps + lost
    assert lost <= 4
    assert not [one for one in story.records() if isinstance(one.event, Diverged)]


# -- synchronous code --------------------------------------------------------------------------------------------------


def test_a_synchronous_isolated_task_called_straight_on_a_loop_is_refused_with_the_way_to_write_it():
    with pytest.raises(regrow.UsageError, match=r"await double\.aio\("):
        regrow.run(agents.calls_it_straight)
    assert effects() == []


def test_it_may_be_called_from_threads_of_the_run():
    assert regrow.run(agents.calls_it_in_a_thread) == [0, 2, 4]
    assert len(journal().of(WorkerStarted, "double")) == 3


def test_a_synchronous_run_may_call_it():
    assert regrow.run(agents.synchronous_run) == [0, 2, 4]
    assert len({one.pid for one in journal().of(WorkerStarted, "double")}) == 3


@pytest.mark.promise("P6")
@pytest.mark.parametrize("bound", ["timeout", "deadline"])
def test_a_synchronous_task_can_be_timed_out_even_in_a_loop_that_never_ends(program, bound):
    story = program(f"""
        @regrow.task({bound}=0.5)
        def endless() -> None:
            effect(os.getpid())
            while True:
                pass

        @regrow.task
        def main() -> str:
            try:
                endless()
            except regrow.TimedOut as failure:
                return failure.scope
            return "it has finished"

        print(regrow.run(main))
    """)
    process = story.start()
    assert process.communicate(timeout=10)[0] == f"{bound}\n"
    (pid,) = story.ledger()
    assert is_gone(int(pid))
