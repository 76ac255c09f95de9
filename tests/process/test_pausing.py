"""Pausing: nothing new begins, what runs finishes and is recorded, and the run waits for whoever resumes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regrow.journal.records import AttemptFailed, CallSucceeded, DriverClosed

from .commands import AGENTS, begun, ended, heard, only
from .observed import counted, effects

pytestmark = [pytest.mark.process, pytest.mark.promise("P2", "P8")]


def succeeded(store):
    return sorted(one.call.path.rpartition("/")[2] for one in only(store).of(CallSucceeded))


def test_what_runs_is_recorded_and_what_would_begin_waits_for_the_resume(store, command):
    running = command("run", AGENTS, "three_strands")
    begun("begun first")
    pausing = command("pause", "@last", "--grace", "1m")
    heard(running, "is being paused")
    Path("go").touch()
    begun("wants to begin")
    assert "step third" not in effects()
    Path("finish-first").touch()
    assert ended(pausing)[0] == 0
    code, said = ended(running)
    assert code == 6, said
    assert "paused, by" in said
    assert "regrow resume" in said
    assert succeeded(store)[-1] == "slow_step#1"
    assert store.runs()[0].status == "paused"
    assert only(store).of(DriverClosed)[-1].reason.startswith("paused by ")
    code, out = ended(command("resume", "@last", "--file", AGENTS))
    assert code == 0, out
    assert store.runs()[0].status == "succeeded"
    assert counted()["step third"] == counted()["begun first"] == 1


def test_a_call_that_does_not_finish_in_time_is_cut_short_and_executed_again(store, command):
    running = command("run", AGENTS, "three_strands")
    begun("begun first")
    assert ended(command("pause", "@last", "--grace", "300ms"))[0] == 0
    assert ended(running)[0] == 6
    assert "slow_step#1" not in succeeded(store)
    assert only(store).of(AttemptFailed) == []
    for file in ("go", "finish-first"):
        Path(file).touch()
    assert ended(command("resume", "@last", "--file", AGENTS))[0] == 0
    assert counted()["begun first"] == 2


def test_a_synchronous_run_is_paused_between_two_steps(store, command):
    running = command("run", AGENTS, "steps_in_the_main_thread")
    begun("number 3")
    assert ended(command("pause", "@last"))[0] == 0
    assert ended(running)[0] == 6
    done = len(effects())
    assert len(only(store).of(CallSucceeded)) == done
    Path("enough").touch()
    assert ended(command("resume", "@last", "--file", AGENTS))[0] == 0
    assert set(counted().values()) == {1}


def test_no_call_begins_in_a_worker_either_and_what_runs_there_is_recorded(store, command):
    running = command("run", AGENTS, "with_a_worker")
    begun("begun first")
    begun("step", times=3)
    pausing = command("pause", "@last", "--grace", "1m")
    heard(running, "is being paused")
    Path("finish-first").touch()
    assert ended(pausing)[0] == 0
    assert ended(running)[0] == 6
    assert "finished first" in effects()
    begun_there = [line for line in effects() if line.startswith(("step", "begun"))]
    assert len(only(store).of(CallSucceeded)) == len(begun_there)
    Path("enough").touch()
    assert ended(command("resume", "@last", "--file", AGENTS))[0] == 0
    assert set(counted().values()) == {1}


def test_a_run_that_nobody_drives_is_marked_and_only_a_resume_goes_on_with_it(store, command):
    running = command("run", AGENTS, "three_strands", "--key", "k")
    begun("begun first")
    running.kill()
    running.wait()
    assert ended(command("pause", "k"))[0] == 0
    assert store.runs()[0].status == "paused"
    code, said = ended(command("run", AGENTS, "three_strands", "--key", "k"))
    assert code == 6
    assert "is paused, by" in said
    for file in ("go", "finish-first"):
        Path(file).touch()
    assert ended(command("resume", "k", "--file", AGENTS))[0] == 0
    assert store.runs()[0].paused_by is None


def test_a_paused_run_can_be_cancelled_without_being_gone_on_with(store, command):
    running = command("run", AGENTS, "three_strands")
    begun("begun first")
    assert ended(command("pause", "@last", "--grace", "0s"))[0] == 0
    ended(running)
    assert ended(command("cancel", "@last"))[0] == 0
    assert store.runs()[0].status == "cancelled"


def test_ls_show_and_why_say_who_has_paused_it(store, command):
    running = command("run", AGENTS, "three_strands")
    begun("begun first")
    assert ended(command("pause", "@last", "--grace", "0s"))[0] == 0
    ended(running)
    (row,) = json.loads(ended(command("ls", "--status", "paused", "--json"))[1])["runs"]
    assert (row["status"], row["paused_by"]) == ("paused", store.runs()[0].paused_by)
    assert "paused" in ended(command("show", "@last"))[1]
    said = ended(command("why", "@last"))[1]
    assert "is paused, by" in said
    assert "regrow resume" in said


def test_a_resume_waits_for_the_driver_that_is_still_letting_go(store, command):
    running = command("run", AGENTS, "three_strands")
    begun("begun first")
    assert ended(command("pause", "@last", "--grace", "1m", "--no-wait"))[0] == 0
    heard(running, "is being paused")
    Path("go").touch()
    resuming = command("resume", "@last", "--file", AGENTS)
    begun("wants to begin")
    Path("finish-first").touch()
    assert ended(running)[0] == 6
    code, said = ended(resuming)
    assert code == 0, said
    assert counted()["begun first"] == 1
