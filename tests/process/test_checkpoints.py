"""Work in progress that outlives an attempt, a preemption, and the death of the driver."""

from __future__ import annotations

import os
import signal

import pytest

import regrow
from regrow.authoring.home import host_of
from regrow.journal.records import AttemptFailed, CheckpointSaved, Diverged, WorkerStarted

from . import checkpoint_agents as agents
from .observed import counted, effects, journal, meanwhile, said, wait_until

pytestmark = [pytest.mark.process, pytest.mark.promise("P6")]

TEN = list(range(1, 11))


def once_each(lines):
    return dict.fromkeys(lines, 1)


# -- a worker's death --------------------------------------------------------------------------------------------------


def test_ten_epochs_killed_after_three_six_and_nine_were_saved_run_once_each():
    assert regrow.run(agents.trainer, "after it is saved") == TEN
    assert counted() == once_each(f"epoch {number}" for number in TEN)
    failed = journal().of(AttemptFailed)
    assert [one.error.summary().partition(":")[0] for one in failed] == ["WorkerLost"] * 3
    assert {(type(one.remedy), one.chosen_by, one.counts) for one in failed} == {(regrow.Resume, "on_preempted", False)}
    assert [one.number for one in journal().of(CheckpointSaved)] == TEN


def test_ten_epochs_killed_in_three_six_and_nine_repeat_no_epoch_before_the_saved_one():
    assert regrow.run(agents.trainer, "before it is saved") == TEN
    assert counted() == {f"epoch {number}": 2 if number in agents.FATAL else 1 for number in TEN}


@pytest.mark.parametrize("mode", ["def", "async def"])
def test_a_preempted_task_saves_in_its_grace_and_goes_on_without_using_up_a_retry(mode):
    interrupting = meanwhile(lambda: os.kill(int(wait_until(lambda: said("waiting"))), signal.SIGTERM))
    assert regrow.run(agents.preempted_trainer, mode) == [1, 2, 3, 4, 5, 6]
    interrupting.join()
    done = counted()
    assert {line: done[line] for line in done if line.startswith("epoch")} == once_each(
        f"epoch {number}" for number in range(1, 7)
    )
    (failed,) = journal().of(AttemptFailed)
    assert failed.error.summary().startswith("Preempted")
    assert (failed.remedy, failed.chosen_by, failed.counts) == (regrow.Resume(), "on_preempted", False)
    assert [one.attempt for one in journal().of(CheckpointSaved)] == [1]


# -- the driver's death ------------------------------------------------------------------------------------------------

TRAINING = """
    @regrow.task({options})
    def train(epochs: int) -> list[int]:
        progress = regrow.checkpoint()
        done = progress.load([])
        for epoch in range(len(done) + 1, epochs + 1):
            effect(epoch)
            done.append(epoch)
            progress.save(done)
            if epoch in (3, 6, 9) and not os.path.exists(f"died-{{epoch}}"):
                open(f"died-{{epoch}}", "w").close()
                os.kill(int(open("driver").read()), signal.SIGKILL)
                time.sleep(30)
        return done

    @regrow.task
    async def main() -> list[int]:
        return await train.aio(10)

    if __name__ == "__main__":
        with open("driver", "w") as file:
            file.write(str(os.getpid()))
        print(regrow.run(main, key="training", strict=True))
"""


@pytest.mark.promise("P2")
@pytest.mark.parametrize("options", ["isolate=True", ""], ids=["in a worker", "in the driver"])
def test_epochs_that_were_saved_do_not_repeat_after_kill_nine_of_the_driver(program, options):
    training = program(TRAINING.format(options=options))
    assert training.run_until_it_survives(starts=4).out == f"{TEN}\n"
    assert training.ledger() == once_each(map(str, TEN))
    assert not [one for one in training.records() if isinstance(one.event, Diverged)]


# -- steps inside ------------------------------------------------------------------------------------------------------

STEPS = ["before", "data", "folds", "epoch 1", "epoch 2", "epoch 3", "epoch 4", "report", "afterwards"]


@pytest.mark.promise("P2")
@pytest.mark.parametrize("task", ["isolated_with_steps", "inline_with_steps"])
def test_steps_before_a_checkpoint_are_neither_repeated_nor_missed(task):
    assert regrow.run(agents.after, task, strict=True) == ["before", "report", "afterwards"]
    assert counted() == once_each(STEPS)
    assert journal().of(Diverged) == []
    assert len(journal().of(AttemptFailed)) == 1


@pytest.mark.promise("P2")
@pytest.mark.parametrize(("options", "mode"), [("isolate=True", "def"), ("", "async def")])
def test_steps_before_a_checkpoint_are_neither_repeated_nor_missed_by_the_next_driver(program, options, mode):
    wait = "await " if mode == "async def" else ""
    story = program(f"""
        @regrow.step
        {mode} step(name: str) -> str:
            effect(name)
            return name

        @regrow.task({options})
        {mode} train() -> str:
            progress = regrow.checkpoint()
            done = progress.load(0)
            if not done:
                {wait}step("data")
                {wait}step("folds")
            for epoch in range(done + 1, 5):
                {wait}step(f"epoch {{epoch}}")
                progress.save(epoch)
                if epoch == 2 and not os.path.exists("died"):
                    open("died", "w").close()
                    os.kill(int(open("driver").read()), signal.SIGKILL)
                    time.sleep(30)
            return {wait}step("report")

        @regrow.task
        async def main() -> str:
            return await train.aio()

        if __name__ == "__main__":
            with open("driver", "w") as file:
                file.write(str(os.getpid()))
            print(regrow.run(main, key="steps", strict=True))
    """)
    assert story.run_until_it_survives(starts=2).out == "report\n"
    assert story.ledger() == once_each(STEPS[1:-1])
    assert not [one for one in story.records() if isinstance(one.event, Diverged)]


# -- what is saved -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "found"), [("file", "File: weights"), ("folder", "Dir: weights")])
def test_what_was_saved_as_a_path_outlives_the_folder_that_it_was_in(kind, found):
    assert regrow.run(agents.saver, "saves_a_path", kind) == found


def test_a_checkpoint_is_dropped_when_its_task_has_succeeded():
    for _ in range(5):  # what is let go of last goes while the worker ends, so this is a race to be won each time
        regrow.run(agents.saver, "saves_much", "6")
        held = {digest for one in journal().of(CheckpointSaved) for digest in one.blobs}
        assert len(held) == 6
        store = host_of(None).store
        assert held <= {digest for digest, _, _ in store.blobs.digests()}
        assert not held & store.referenced_blobs()


def test_a_kill_leaves_no_grace_in_which_to_save():
    interrupting = meanwhile(lambda: os.kill(int(wait_until(lambda: said("waiting"))), signal.SIGKILL))
    assert regrow.run(agents.preempted_trainer, "def") == [1, 2, 3, 4, 5, 6]
    interrupting.join()
    assert journal().of(CheckpointSaved) == []
    assert {line: times for line, times in counted().items() if line.startswith("epoch")} == {
        f"epoch {number}": 2 if number <= 4 else 1 for number in range(1, 7)
    }


def test_a_kill_while_saving_leaves_what_was_saved_before_and_never_half_of_it():
    times = 6
    assert regrow.run(agents.saver, "dies_while_saving", str(times)) in range(times + 1)
    assert len(journal().of(WorkerStarted)) == times + 1
    found = [int(line.split()[1]) for line in effects() if line.startswith("found")]
    assert found == sorted(found)
    kept = {one.number for one in journal().of(CheckpointSaved)}
    assert kept == set(range(1, len(kept) + 1))
