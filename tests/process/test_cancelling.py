"""Cancelling: first the code is asked, from the inside to the outside, then it is ended by force."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrow.journal.records import CallSucceeded, RunEnded

from .commands import AGENTS, begun, ended, only
from .observed import effects, is_gone, wait_until

pytestmark = [pytest.mark.process, pytest.mark.promise("P8")]


def run_of(start, agent, *options):
    return start("run", AGENTS, agent, *options)


@pytest.mark.parametrize("how", [[], ["--blocking"]])
def test_the_innermost_cleans_up_before_what_is_around_it(store, command, how):
    process = run_of(command, "outermost", *how)
    begun("innermost begun")
    assert ended(command("cancel", "@last"))[0] == 0
    code, said = ended(process)
    assert code == 1, said
    cleaned = [line.removeprefix("step ") for line in effects() if line.endswith("cleaned up")]
    assert cleaned == ["innermost cleaned up", "middle cleaned up", "outermost cleaned up"]
    assert only(store).row.status == "cancelled"


def test_what_a_finally_block_calls_is_recorded_while_there_is_grace(store, command):
    process = run_of(command, "tidy")
    begun()
    assert ended(command("cancel", "@last"))[0] == 0
    assert ended(process)[0] == 1
    seen = only(store)
    assert [one.call.path for one in seen.of(CallSucceeded)] == ["tidy#1/step#1"]
    assert "by force" not in seen.of(RunEnded)[-1].reason


@pytest.mark.parametrize("agent", ["deaf", "deaf_in_the_main_thread", "blocked_loop"])
def test_code_that_does_not_end_is_ended_without_once_its_grace_is_over(store, command, agent):
    process = run_of(command, agent)
    begun()
    cancelled = command("cancel", "@last", "--grace", "500ms")
    assert ended(cancelled)[0] == 0
    Path("cancelled").touch()
    code, said = ended(process)
    assert code == 1, said
    assert "left behind" in said
    seen = only(store)
    assert seen.row.status == "cancelled"
    assert isinstance(seen.records[-1].event, RunEnded)
    assert seen.records[-1].event.reason.endswith("by force")
    assert "step never recorded" not in effects()


def test_blocking_code_in_the_main_thread_is_interrupted_when_its_grace_is_over(store, command):
    process = run_of(command, "blocked_in_the_main_thread")
    begun()
    assert ended(command("cancel", "@last", "--grace", "200ms"))[0] == 0
    assert ended(process)[0] == 1
    assert only(store).row.status == "cancelled"


def test_a_thread_that_never_ends_keeps_neither_the_run_nor_the_process_and_is_named(store, command):
    process = run_of(command, "endless_thread")
    begun()
    assert ended(command("cancel", "@last", "--grace", "500ms"))[0] == 0
    code, said = ended(process)
    assert code == 1, said
    assert "left behind" in said
    assert "wait_for" in said
    assert only(store).row.status == "cancelled"


def test_a_deaf_worker_is_killed_when_the_grace_is_over(store, command):
    process = run_of(command, "with_a_deaf_worker")
    begun("worker")
    worker = int(next(line for line in effects() if line.startswith("worker")).split()[1])
    assert ended(command("cancel", "@last", "--grace", "500ms"))[0] == 0
    assert ended(process)[0] == 1
    wait_until(lambda: is_gone(worker))
    assert only(store).row.status == "cancelled"


def test_now_means_without_any_grace(store, command):
    process = run_of(command, "with_a_deaf_worker")
    begun("worker")
    worker = int(next(line for line in effects() if line.startswith("worker")).split()[1])
    assert ended(command("cancel", "@last", "--now"))[0] == 0
    assert ended(process)[0] == 1
    wait_until(lambda: is_gone(worker))
    seen = only(store)
    assert seen.row.status == "cancelled"
    assert seen.records[-1].event.reason.endswith("by force")


def test_a_run_that_was_cancelled_by_force_can_be_retried(store, command):
    process = run_of(command, "deaf")
    begun()
    assert ended(command("cancel", "@last", "--now"))[0] == 0
    assert ended(process)[0] == 1
    again = command("retry", "@last", "--file", AGENTS)
    wait_until(lambda: sum(line.startswith("begun") for line in effects()) == 2)
    assert ended(command("cancel", "@last", "--now"))[0] == 0
    assert ended(again)[0] == 1
    assert [one.outcome for one in only(store).of(RunEnded)] == ["cancelled", "cancelled"]


def test_a_program_that_cancels_its_own_run_goes_on_though_the_code_does_not_end(program):
    process = program(
        """
        @regrow.task
        async def deaf():
            effect("begun")
            while True:
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    effect("swallowed")

        async def main():
            handle = await regrow.start(deaf)
            while handle.status == "running" and not os.path.exists("ledger"):
                await asyncio.sleep(0.01)
            await handle.cancel(grace="100ms")
            try:
                await handle.result()
            except regrow.RunCancelled:
                effect(f"it is {handle.status}")
            os._exit(0)

        asyncio.run(main())
        """
    ).run()
    assert process.returncode == 0, process.err
