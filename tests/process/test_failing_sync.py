"""A disk that fails to sync, under whole runs: nothing more is acknowledged, and what was done is not done again.

A sync fails once and the next one would succeed. That is what makes it dangerous: the kernel may have dropped the pages
that it could not write, and calls them clean.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from regrow.cli import exits
from regrow.journal.records import CallSucceeded
from regrow.journal.sqlite import SqliteStore

from .cut_at_syscalls import (
    AGENTS,
    COMMITTER,
    MAIN,
    can_strike,
    environment,
    executions,
    journal,
    judge_life,
    ledger,
    live,
    undisturbed_life,
)
from .observed import wait_until

HEARTBEAT = "regrow-heartbeat"
RUN = ("run", AGENTS, "agent", "--key", "struck")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    if sys.platform != "linux" or not can_strike(tmp_path_factory.mktemp("probe")):
        pytest.skip("there is no strace here that may attach to a thread")
    return undisturbed_life(tmp_path_factory.mktemp("undisturbed") / "life")


def with_store(place):
    """Make a folder and a store in it, so that the syncs that are counted are a run's own."""
    place.mkdir()
    SqliteStore(place / "home").close()
    return place


@pytest.fixture
def place(tmp_path, undisturbed):
    """Give a folder in which strace can do what it is there for."""
    return with_store(tmp_path / "struck")


@pytest.fixture
def twin(tmp_path):
    """Give a second folder, for a process that is killed where the first one's disk fails."""
    return with_store(tmp_path / "twin")


def start(place, *command, **fault):
    """Start `regrow` as a user does, with a fault or without."""
    return subprocess.Popen(
        [sys.executable, "-m", "regrow", *command, "--store", "home"],
        cwd=place,
        env=environment(**fault),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def call(place, *command, **fault):
    return finish(start(place, *command, **fault))


def given(place):
    """Give the labels of the results that the code was given."""
    return {line for line in ledger(place) if isinstance(line, str)}


def recorded(place):
    """Give the labels of the results that are in the journal."""
    labels = {one.path: one.label for one in executions(ledger(place))}
    succeeded = (record.event for record in journal(place) if isinstance(record.event, CallSucceeded))
    return {labels[event.call.path] for event in succeeded if event.call.path in labels}


def given_when_killed(twin, sync, thread=MAIN):
    """Give what the code has been given when its process is killed at this very sync."""
    assert live(twin, strike=f"{sync}:signal=SIGKILL", thread=thread).returncode < 0
    return given(twin)


# The loop's first five make the run, the sixth is that of its first step. Those of a blob are of its folder's name, of
# its content, and of the two folders that its own name is in.
SYNCS = [
    *((f"fdatasync:when={number}", MAIN) for number in (1, 4, 6, 7, 9, 11)),
    *((f"fdatasync:when={number}", COMMITTER) for number in (1, 2)),
    *((f"fsync:when={number}", MAIN) for number in (2, 4)),
]


@pytest.mark.promise("P1", "P2", "P8")
@pytest.mark.parametrize(("sync", "thread"), SYNCS)
def test_nothing_is_acknowledged_after_a_sync_failed_and_the_same_command_goes_on_from_what_was(
    place, twin, undisturbed, sync, thread
):
    failed = call(place, *RUN, strike=f"{sync}:error=EIO", thread=thread)
    assert failed.returncode == exits.STORE, failed.stderr
    assert str(place / "home") in failed.stderr
    assert failed.stdout == ""
    assert given(place) == given_when_killed(twin, sync, thread)
    assert given(place) <= recorded(place)
    assert list(judge_life(place, undisturbed, call(place, *RUN))) == []


@pytest.mark.promise("P1", "P8")
@pytest.mark.parametrize("number", [1, 4])
def test_a_store_that_could_not_be_made_is_made_by_the_same_command(tmp_path, undisturbed, number):
    place = tmp_path / "anew"
    place.mkdir()
    failed = call(place, *RUN, strike=f"fdatasync:error=EIO:when={number}")
    assert failed.returncode == exits.STORE, failed.stderr
    assert str(place / "home") in failed.stderr
    assert ledger(place) == []
    assert list(judge_life(place, undisturbed, call(place, *RUN))) == []


@pytest.mark.control
def test_a_store_that_swallows_a_failed_sync_is_caught(place, twin):
    live(place, "deaf", strike="fdatasync:error=EIO:when=7")
    assert not given(place) <= recorded(place)
    assert given(place) > given_when_killed(twin, "fdatasync:when=7")


@pytest.mark.promise("P8")
def test_a_run_that_was_interrupted_by_its_disk_is_resumed_by_name(place, undisturbed):
    failed = call(place, *RUN, strike="fdatasync:error=EIO:when=10")
    assert failed.returncode == exits.STORE
    assert "interrupted" in call(place, "ls").stdout
    assert list(judge_life(place, undisturbed, call(place, "resume", "struck", "--file", AGENTS))) == []


@pytest.mark.promise("P1", "P2")
def test_while_no_sync_succeeds_nothing_is_executed_and_nothing_is_lost(place, undisturbed):
    live(place, strike="fdatasync:signal=SIGKILL:when=9")
    before = ledger(place)
    assert given(place)
    for _ in range(3):
        failed = call(place, *RUN, strike="/^f(data)?sync:error=EIO")
        assert failed.returncode == exits.STORE, failed.stderr
        assert ledger(place) == before
    assert list(judge_life(place, undisturbed, call(place, *RUN))) == []


@pytest.mark.promise("P1")
def test_a_sync_of_the_heartbeats_that_failed_counts_for_the_run_too(place, undisturbed):
    (place / "wait").touch()
    running = start(place, *RUN, strike="fdatasync:error=EIO:when=1", thread=HEARTBEAT)
    wait_until(lambda: any("(INJECTED)" in file.read_text() for file in place.glob("strace-*")))
    (place / "go").touch()
    failed = finish(running)
    assert failed.returncode == exits.STORE, failed.stderr
    assert "linger" not in given(place)
    assert given(place) <= recorded(place)
    assert list(judge_life(place, undisturbed, call(place, *RUN))) == []


@pytest.mark.promise("P8")
def test_a_program_whose_disk_fails_is_told_which_file_and_how_to_go_on(place):
    failed = live(place, strike="fdatasync:error=EIO:when=7")
    assert failed.returncode == 1
    assert f"{Path('home', 'journal.db')} had an input/output error" in failed.stderr
    assert "says how to go on" in failed.stderr


@pytest.mark.parametrize("sync", ["fdatasync:error=EIO:when=7", "fsync:error=EIO:when=2"], ids=["record", "blob"])
def test_who_uses_the_command_line_is_told_how_to_go_on(place, sync):
    failed = call(place, *RUN, strike=sync)
    assert "then resume" in failed.stderr
