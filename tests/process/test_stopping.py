"""The kill switch: no step begins any more, in whatever process, until somebody lifts it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .commands import AGENTS, begun, ended
from .observed import effects, wait_until

pytestmark = [pytest.mark.process]

PROMISED_SECONDS = 2.0
"""Within which no step begins any more, counted from the return of the command."""


def moments(who=""):
    return [float(line.split()[0]) for line in effects() if line.endswith(who)]


def busy_drivers(command, store, *, workers):
    who = [f"driver-{number}" for number in range(3)]
    started = [
        command("run", AGENTS, "busy", "--who", name, *(["--workers"] if workers and name == who[0] else []))
        for name in who
    ]
    for name in who:
        wait_until(lambda name=name: len(moments(name)) > 5)
    return started


def test_no_step_of_any_process_begins_two_seconds_after_everything_was_stopped(store, command):
    started = busy_drivers(command, store, workers=True)
    assert ended(command("stop", "--all", "--no-wait", "--reason", "it deletes files"))[0] == 0
    stopped = time.time()
    # Two looks of every driver and much more: until each of them has said that it was stopped, or is gone.
    wait_until(lambda: not any(row.held for row in store.runs()) or time.time() > stopped + 15)
    late = [moment - stopped for moment in moments() if moment > stopped + PROMISED_SECONDS]
    assert late == []
    assert len(moments()) > 20
    for process in started:
        process.kill()
        assert "Traceback" not in ended(process)[1]


def test_new_runs_and_resumes_are_refused_in_processes_that_start_later_until_it_is_lifted(store, command):
    running = command("run", AGENTS, "three_strands")
    begun("begun first")
    code, said = ended(command("stop", "--all", "--reason", "it deletes files"))
    assert code == 0, said
    code, said = ended(running)
    assert code == 6, said
    for refused in (
        ("run", AGENTS, "tidy"),
        ("resume", "@last", "--file", AGENTS),
        ("run", AGENTS, "tidy", "--project", "another"),
    ):
        code, said = ended(command(*refused))
        assert code == 6, said
        assert "it deletes files" in said
        assert "regrow stop --lift --all" in said
    assert len(store.runs()) == 1
    assert store.runs()[0].status == "interrupted"
    assert "it deletes files" in ended(command("stop"))[1]
    assert "it deletes files" in ended(command("why", "@last"))[1]
    assert ended(command("stop", "--lift", "--all"))[0] == 0
    for file in ("go", "finish-first"):
        Path(file).touch()
    assert ended(command("resume", "@last", "--file", AGENTS))[0] == 0


def test_stopping_a_project_leaves_the_others_alone(store, command):
    north = command("run", AGENTS, "tidy", "--project", "north")
    south = command("run", AGENTS, "tidy", "--project", "south")
    begun(times=2)
    assert ended(command("stop", "--project", "north"))[0] == 0
    assert ended(north)[0] == 6
    assert south.poll() is None
    assert store.runs(project="south")[0].status == "running"
    code, said = ended(command("run", AGENTS, "tidy", "--project", "north"))
    assert code == 6
    assert "regrow stop --lift --project north" in said


@pytest.mark.control
def test_without_the_switch_steps_do_begin_later_than_that(store, command):
    started = busy_drivers(command, store, workers=False)
    stopped = time.time()
    wait_until(lambda: any(moment > stopped + PROMISED_SECONDS for moment in moments()))
    for process in started:
        process.kill()
