"""What a worker has around it: its place on the host, its secrets, what it is told of its limits, and its log."""

from __future__ import annotations

from pathlib import Path

import pytest

import regrow
from regrow.authoring import home
from regrow.journal.records import CallFailed, WorkerGrown, WorkerStarted

from . import nesting_agents as agents
from .observed import can_hold, effects, journal

pytestmark = pytest.mark.process

MIB = 2**20


# -- capacity ----------------------------------------------------------------------------------------------------------


def cpus_of_host():
    return home.workers._here().host.cpus


@pytest.mark.parametrize(
    ("option", "amount", "asked"),
    [("cpu", "4096", "4096 processors"), ("memory", "900Ti", "900.0 TiB of memory"), ("gpu", "64", "64 gpus")],
)
def test_what_can_never_fit_on_this_host_is_refused_at_once_with_what_there_is(option, amount, asked):
    there = {
        "cpu": f"{cpus_of_host():g}",
        "memory": regrow.Resources(memory=home.workers.ceiling).describe().split(" of memory")[0],
        "gpu": str(len(home.workers._here().host.gpus)),
    }[option]
    with pytest.raises(regrow.UsageError) as caught:
        regrow.run(agents.asks_for, option, amount)
    said = str(caught.value)
    assert f"asks for {asked}" in said
    assert f"this host has {there}" in said
    assert f"{option}=" in said
    assert effects() == []
    assert journal().of(WorkerStarted) == []
    assert [one.attempt for one in journal().of(CallFailed, "occupant")] == [1]


def most_at_a_time(lines):
    most = now = 0
    for line in lines:
        now += 1 if line[0] == "+" else -1
        most = max(most, now)
    return most


def test_six_tasks_that_each_want_half_of_the_processors_run_two_at_a_time():
    regrow.run(agents.crowd, 6, cpus_of_host() / 2)
    assert len(effects()) == 12
    assert most_at_a_time(effects()) == 2


def test_those_of_higher_priority_are_placed_first_and_equals_in_the_order_they_came():
    regrow.run(agents.by_priority, cpus_of_host())
    assert effects() == [f"{mark}{label}" for label in ("first", "high", "usual", "also usual", "low") for mark in "+-"]


# -- secrets and variables ---------------------------------------------------------------------------------------------

TOKEN = "tok-9f1c77a0b2"


def test_a_secret_reaches_the_worker_and_nobody_else(monkeypatch, capsys, regrow_home):
    monkeypatch.setenv("REGROW_TEST_TOKEN", TOKEN)
    length, server = regrow.run(agents.call, "uses_a_secret")
    assert length == len(TOKEN)
    environment = Path(f"/proc/{server}/environ").read_bytes()
    assert b"PATH=" in environment
    assert TOKEN.encode() not in environment

    told = [line.text for line in journal().logs]
    assert {text.partition(" ")[0] for text in told} == {"complained", "logged", "printed"}
    assert not [text for text in told if TOKEN in text]
    assert not [file for file in regrow_home.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
    echoed = capsys.readouterr()
    assert "printed" in echoed.err
    assert TOKEN not in echoed.out + echoed.err


def test_a_secret_in_an_error_is_not_written_down(monkeypatch, regrow_home):
    monkeypatch.setenv("REGROW_TEST_TOKEN", TOKEN)
    with pytest.raises(ValueError, match="the service refused"):
        regrow.run(agents.call, "fails_with_a_secret")
    assert not [file for file in regrow_home.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]


def test_a_variable_that_was_not_handed_over_is_missing_with_a_note_that_says_how(monkeypatch):
    monkeypatch.setenv("REGROW_TEST_TOKEN", TOKEN)
    with pytest.raises(KeyError, match="REGROW_TEST_TOKEN") as caught:
        regrow.run(agents.call, "was_handed_nothing")
    (note,) = [note for note in caught.value.__notes__ if "secrets=" in note]
    assert "secrets=['REGROW_TEST_TOKEN']" in note
    assert TOKEN not in note


def test_a_secret_that_the_driver_has_not_itself_is_asked_for_by_name(monkeypatch):
    monkeypatch.delenv("REGROW_TEST_ABSENT", raising=False)
    with pytest.raises(regrow.UsageError, match="REGROW_TEST_ABSENT"):
        regrow.run(agents.call, "wants_what_is_not_there")
    assert effects() == []


def test_a_task_may_bring_variables_of_its_own():
    assert regrow.run(agents.call, "has_an_environment") == "north"


# -- infrastructure as context -----------------------------------------------------------------------------------------


def test_a_worker_knows_what_it_may_use_what_it_uses_and_what_is_left():
    found = regrow.run(agents.call, "looks_around")
    assert (found["task"], found["path"], found["attempt"]) == ("looks_around", "call#1/looks_around#1", 1)
    assert found["isolated"] is True
    assert found["given"] == [256 * MIB, 1.0, 32 * MIB]
    assert found["limits"] == 256 * MIB
    (started,) = journal().of(WorkerStarted)
    assert found["enforced_by"] == list(started.enforced_by) != []
    assert found["held"] <= found["memory"] < 256 * MIB
    assert found["processes"] == 1
    assert 0 < found["seconds"] <= 60
    assert (found["retries"], found["attempts"], found["most"]) == (2, 4, 2**30)
    assert not Path(found["scratch"]).exists()  # gone with the attempt


def test_a_model_can_be_told_of_it_in_a_few_lines():
    told = regrow.run(agents.call, "looks_around")["told"]
    assert "Task looks_around, attempt 1" in told
    assert "256 MiB of memory" in told
    assert "1 processor" in told
    assert "2 retries" in told
    assert len(told.splitlines()) <= 6


def test_after_growth_in_place_the_limit_is_the_new_one():
    if not can_hold():
        pytest.skip("this host cannot hold a worker at its memory limit: no cgroup that regrow may make")
    before, after, given, told, _ = regrow.run(agents.call, "grows_and_looks")
    assert [(one.before, one.after) for one in journal().of(WorkerGrown)] == [(64 * MIB, 128 * MIB)]
    assert (before, after, given) == (64 * MIB, 128 * MIB, 64 * MIB)
    assert "128 MiB of memory" in told


def test_a_second_attempt_knows_of_what_the_first_one_died():
    failure, retries, told = regrow.run(agents.call, "looks_back")
    assert (failure, retries) == ("Crashed", 0)
    assert "exit code 3" in told


def test_in_the_drivers_own_process_nothing_is_limited_and_that_is_said():
    isolated, resources, limits, scratch, memory, told = regrow.run(agents.looks_around_in_the_driver)
    assert (isolated, resources, limits, scratch) == (False, None, None, None)
    assert memory > 10 * MIB
    assert "without limits" in told


# -- what it prints ----------------------------------------------------------------------------------------------------


def test_what_a_worker_prints_and_logs_is_filed_under_its_call_and_attempt():
    regrow.run(agents.two_that_print)
    seen = {(line.path, line.attempt, line.level, line.text) for line in journal().logs}
    for place, name in enumerate(("a", "b"), start=1):
        for attempt in (1, 2):
            filed = (f"two_that_print#1/prints#{place}", attempt)
            assert (*filed, "STDOUT", f"{name} out {attempt}") in seen
            assert (*filed, "STDERR", f"{name} err {attempt}") in seen
            assert (*filed, "WARNING", f"{name} logged {attempt}") in seen
            assert (*filed, "STDOUT", f"{name} without an end {attempt}") in seen
