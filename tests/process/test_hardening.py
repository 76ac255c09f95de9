"""What a hostile reader found: forks of the user's own, descriptors closed behind our back, clocks that nobody kept."""

from __future__ import annotations

import msgspec
import pytest

import regrow
from regrow.authoring import home
from regrow.authoring.home import host_of
from regrow.errors import LeaseLost
from regrow.journal.records import (
    AttemptFailed,
    CallFailed,
    CheckpointSaved,
    OutcomeDecided,
    WorkerStarted,
)

from . import hardening_agents as agents
from .observed import counted, effects, is_gone, journal, meanwhile, said, wait_until

pytestmark = pytest.mark.process

SOON = 8.0
"""Seconds: shorter than the grace of a worker that is to save its work, and than the life of any worker here."""


# -- forks of its own --------------------------------------------------------------------------------------------------


def test_a_step_in_a_process_that_a_task_has_forked_is_refused_there_and_harms_nothing():
    before, there, after = regrow.run(agents.forks_and_calls_a_step_in_both)
    assert (before, after) == ("20", "30")
    assert there.startswith("UsageError: a recorded call was made in a process that a task has forked")
    assert counted() == {"tenfold 2": 1, "tenfold 3": 1}
    assert journal().row.status == "succeeded"


# -- a driver that is over ---------------------------------------------------------------------------------------------


def lose_the_lease(found):
    """Take the run from its driver once its worker is at work; find out whether that is ended without a grace."""
    try:
        pid = int(wait_until(lambda: said("deaf")))
        for run, driver in list(host_of(None)._drivers.items()):
            driver.halt(LeaseLost(run, "it was taken over"))
        wait_until(lambda: is_gone(pid), SOON)
        found.append("gone")
    finally:
        agents.Path("go on").touch()


@pytest.mark.promise("P3")
@pytest.mark.parametrize("agent", ["waits_for_it", "blocks_its_loop_meanwhile"])
def test_a_worker_is_ended_at_once_when_its_runs_lease_is_lost_also_while_the_drivers_loop_is_blocked(agent):
    found = []
    losing = meanwhile(lose_the_lease, found)
    with pytest.raises(LeaseLost):
        regrow.run(getattr(agents, agent))
    losing.join()
    assert found == ["gone"]
    assert said("interrupted") is None  # there is nothing that it could save any more


def test_a_worker_ends_when_the_loop_on_which_its_run_was_started_is_closed(program):
    script = program("""
        @regrow.task(isolate=True)
        def child():
            effect(os.getpid())
            time.sleep(60)

        async def main():
            handle = await regrow.start(child)
            await asyncio.to_thread(wait_for_file, "ledger")
            return handle

        if __name__ == "__main__":
            loop = asyncio.new_event_loop()
            handle = loop.run_until_complete(main())
            loop.close()
            wait_for_file("go on")
    """)
    running = script.start()
    script.wait_until(script.ledger)
    (pid,) = map(int, script.ledger())
    script.wait_until(lambda: is_gone(pid), SOON)
    assert running.poll() is None
    script.touch("go on")
    assert script.finish(running).returncode == 0, running.err


# -- what comes before the task ----------------------------------------------------------------------------------------


def test_a_scratch_folder_that_cannot_be_made_is_an_error_and_takes_no_place_away(program):
    script = program("""
        import shutil, tempfile
        from regrow.authoring import home

        @regrow.task(isolate=True)
        def child(number):
            return number

        @regrow.task
        async def agent():
            whole = child.override(cpu=home.workers._here().host.cpus, deadline=20)
            await whole.aio(0)
            folder, tempfile.tempdir = tempfile.tempdir, "/nowhere"
            for number in (1, 2, 3):
                try:
                    await whole.aio(number)
                except Exception as error:
                    print(type(error).__name__)
            tempfile.tempdir = folder
            print(await whole.aio(4))

        if __name__ == "__main__":
            regrow.run(agent)
    """)
    ended = script.run()
    assert ended.out == "FileNotFoundError\n" * 3 + "4\n", ended.err


def test_a_deadline_that_passes_in_the_queue_is_told_as_that_and_no_worker_is_started():
    scope, *evidence = regrow.run(agents.queues, "late", home.workers._here().host.cpus)
    assert (scope, evidence) == ("deadline", ["when its deadline passed it was still in the queue"])
    assert effects() == ["hog"]
    assert journal().of(WorkerStarted, "late") == []


def test_a_deadline_that_passes_while_the_module_is_being_loaded_is_told_as_that(program):
    script = program("""
        if __name__ != "__main__":
            effect("loading")
            time.sleep(60)

        @regrow.task(isolate=True, deadline=1)
        def child():
            effect("begun")

        @regrow.task
        async def agent():
            try:
                await child.aio()
            except regrow.TimedOut as failure:
                print(failure.scope, *failure.evidence)

        if __name__ == "__main__":
            regrow.run(agent)
    """)
    ended = script.run()
    told = f"when its deadline passed it was still waiting for a worker that has loaded {script.folder}/program.py"
    assert ended.out == f"deadline {told}\n", ended.err
    assert script.ledger() == {"loading": 1}
    assert not [one for one in script.records() if isinstance(one.event, WorkerStarted)]


def test_a_module_that_closes_all_descriptors_when_it_is_loaded_is_an_import_error_and_the_driver_goes_on(program):
    script = program("""
        if __name__ != "__main__" and "UNHARMED" not in os.environ:
            os.closerange(3, 256)
            time.sleep(1000)

        @regrow.task(isolate=True)
        def child():
            return "it has run"

        @regrow.task
        async def agent():
            try:
                await child.aio()
            except ImportError as error:
                print("ended its process" in str(error))
            print(await child.override(env={"UNHARMED": "1"}).aio())

        if __name__ == "__main__":
            regrow.run(agent)
    """)
    ended = script.run()
    assert ended.out == "True\nit has run\n", ended.err


def test_a_variable_that_only_secrets_would_give_is_named_when_a_module_wants_it_at_once(program):
    script = program("""
        KEY = os.environ["THE_KEY"]

        @regrow.task(isolate=True, secrets=["THE_KEY"])
        def child():
            return len(KEY)

        @regrow.task
        async def agent():
            try:
                await child.aio()
            except KeyError as error:
                print(*error.__notes__, sep="\\n")

        if __name__ == "__main__":
            regrow.run(agent)
    """)
    ended = script.run(THE_KEY="abc-def-ghi")
    assert "THE_KEY is in the driver's environment, but not in that of its workers" in ended.out, ended.err
    assert "What secrets= names arrives after loading: read it inside the task" in ended.out
    assert "abc-def-ghi" not in ended.out + ended.err


def test_arguments_that_are_parsed_when_a_module_is_loaded_are_told_to_stand_under_the_main_line(program):
    script = program("""
        import argparse

        @regrow.task(isolate=True)
        def child():
            pass

        @regrow.task
        async def agent():
            try:
                await child.aio()
            except ImportError as error:
                print(error)

        parser = argparse.ArgumentParser()
        parser.add_argument("--question", required=True)
        parser.parse_args()
        regrow.run(agent)
    """)
    ended = script.run("--question", "why")
    assert "SystemExit" in ended.out, ended.err
    assert "belongs under `if __name__ == '__main__':`" in ended.out


# -- drivers of other kinds --------------------------------------------------------------------------------------------


_DRIVES = """
    import multiprocessing

    @regrow.task(isolate=True)
    def child(number):
        return [number, os.getpid() != DRIVER]

    @regrow.task
    async def agent():
        return await child.aio(3)

    def drive():
        print(regrow.run(agent), flush=True)

    DRIVER = os.getpid()
    if __name__ == "__main__":
        if "spawn" in sys.argv:
            driver = multiprocessing.get_context("spawn").Process(target=drive)
            driver.start()
            driver.join()
            sys.exit(driver.exitcode)
        drive()
"""


def test_a_script_without_a_suffix_may_have_isolated_tasks(program):
    script = program(_DRIVES)
    script._file = script._file.rename(script.folder / "program")
    ended = script.run()
    assert ended.out == "[3, True]\n", ended.err


def test_a_process_that_multiprocessing_has_spawned_may_drive_isolated_tasks(program):
    ended = program(_DRIVES).run("spawn")
    assert (ended.returncode, ended.out) == (0, "[3, True]\n"), ended.err


@pytest.mark.promise("P6")
def test_a_driver_whose_stderr_nobody_reads_still_keeps_its_tasks_to_their_time_and_ends(program):
    script = program("""
        @regrow.task(isolate=True)
        def noisy():
            for _ in range(3000):
                print("x" * 200)
            sys.stdout.flush()
            effect("printed")
            time.sleep(60)

        @regrow.task(isolate=True, timeout=0.3)
        def late():
            time.sleep(60)

        @regrow.task
        async def agent():
            printing = asyncio.create_task(noisy.aio())
            await asyncio.to_thread(wait_for_file, "ledger")
            try:
                await late.aio()
            except regrow.TimedOut:
                effect("timed out")
            printing.cancel()

        if __name__ == "__main__":
            regrow.run(agent)
    """)
    running = script.start()
    script.wait_for("timed out")
    script.wait_until(lambda: running.poll() is not None)
    ended = script.finish(running)
    assert ended.returncode == 0, ended.err[-2000:]


# -- once only ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P2")
def test_a_once_only_task_whose_worker_was_killed_stops_the_run_until_its_outcome_is_known():
    with pytest.raises(regrow.OutcomeUnknown):
        regrow.run(agents.customer, "pays")
    assert effects() == ["paid"]
    assert journal().row.status != "succeeded"
    assert journal().of(CallFailed) == []


@pytest.mark.promise("P2")
def test_a_once_only_task_whose_worker_was_killed_gives_what_reconcile_says_has_happened():
    assert regrow.run(agents.customer, "pays_as_can_be_seen") == "receipt"
    assert effects() == ["paid", "asked"]
    assert [one.happened for one in journal().of(OutcomeDecided)] == [True]


def test_a_once_only_task_that_certainly_did_not_happen_is_lost_like_any_other():
    assert regrow.run(agents.customer, "dies_before_it_pays") == "WorkerLost"
    assert effects() == ["tried", "asked"]
    assert [one.happened for one in journal().of(OutcomeDecided)] == [False]


def test_a_once_only_task_that_was_never_begun_has_timed_out_and_hides_nothing():
    scope, *evidence = regrow.run(agents.queues, "late_and_once", home.workers._here().host.cpus)
    assert (scope, evidence) == ("deadline", ["when its deadline passed it was still in the queue"])
    assert effects() == ["hog"]
    assert journal().row.status == "succeeded"


# -- last words --------------------------------------------------------------------------------------------------------


def test_what_a_task_printed_before_it_was_killed_is_in_the_runs_log():
    assert regrow.run(agents.hears, "prints_and_dies")[0] == "WorkerLost"
    told = [(line.path, line.level, line.text) for line in journal().logs]
    assert ("hears#1/prints_and_dies#1", "STDOUT", "the last line") in told


def test_a_worker_that_breaks_the_protocol_is_lost_and_it_is_said_that_regrow_has_ended_it():
    name, confidence, *evidence = regrow.run(agents.hears, "speaks_out_of_turn")
    assert (name, confidence) == ("WorkerLost", "certain")
    assert any(one.startswith("regrow ended it: ") and "what is no message" in one for one in evidence)


def test_an_exception_with_a_message_of_a_hundred_megabytes_is_kept_short():
    assert regrow.run(agents.hears, "raises_at_length") == ["ValueError"]
    assert journal().of(CallFailed, "raises_at_length")
    assert max(len(msgspec.msgpack.encode(one)) for one in journal().records) < 1_000_000


# -- saving ------------------------------------------------------------------------------------------------------------


def test_a_preemption_at_any_moment_of_saving_is_a_preemption_and_what_was_saved_is_found_again():
    saved = regrow.run(agents.saver)
    seen = journal()
    failed = [one.error.type for one in seen.of(AttemptFailed, "saves_until_preempted")]
    assert failed == ["regrow:Preempted"] * agents.PREEMPTIONS
    assert seen.of(CallFailed) == []
    found = [int(line.split()[1]) for line in effects()]
    assert found == sorted(found)
    assert saved == seen.of(CheckpointSaved)[-1].number >= found[-1]
