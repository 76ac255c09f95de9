"""Two projects in one store, at work at once in several processes: neither sees, takes or loses anything of the other.

Tasks and keys have the same names in both. What is cancelled or removed in one is still there in the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import regrow
from regrow.authoring import home
from regrow.engine.invariants import check_run
from regrow.insight.collect import loose_blobs
from regrow.journal.chain import unseal_all
from regrow.journal.records import RunCreated
from regrow.journal.sqlite import SqliteStore

from . import project_agents as agents
from .observed import wait_until

PROJECTS = ("north", "south")
DRIVERS = 2
"""Of each project."""
LATER = 2 * 3600.0
"""When no blob is young any more, in seconds from now."""


@pytest.fixture
def drivers():
    """Give a function that starts drivers of the projects in the working directory."""
    started = []

    def start(*projects, kept_in=None):
        for project in projects:
            process = subprocess.Popen(
                [sys.executable, agents.__file__, project, "home", kept_in or project],
                env=os.environ | {"PYTHONPATH": str(Path(regrow.__file__).parents[1])},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.append(process)
        return started[-len(projects) :]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def store():
    with contextlib.closing(SqliteStore("home")) as opened:
        yield opened


def results(processes):
    """Wait for the drivers of one project, and give what they found its runs to be; they must agree."""
    found = []
    for process in processes:
        output, problem = process.communicate(timeout=60)
        assert process.returncode == 0, problem
        found.append(json.loads(output))
    assert all(one == found[0] for one in found)
    return found[0]


def ledger():
    return Counter(tuple(json.loads(line)) for line in Path("ledger").read_text().splitlines())


AS_EXPECTED = {f"key-{number}": "as expected" for number in range(agents.KEYS)}
BUT_ONE = AS_EXPECTED | {agents.UNWANTED: "cancelled"}


@pytest.mark.promise("P2", "P3")
def test_projects_at_work_at_once_have_their_own_runs_under_equal_keys(drivers, store):
    Path("go").touch()
    started = drivers(*PROJECTS * DRIVERS)
    assert [results(started[place::2]) for place in (0, 1)] == [AS_EXPECTED] * 2
    assert set(ledger().values()) == {1}
    assert Counter((row.project, row.key, row.outcome) for row in store.runs()) == Counter(
        (project, key, "succeeded") for project in PROJECTS for key in AS_EXPECTED
    )
    for row in store.runs():
        records = unseal_all(row.id, store.read(row.id))
        assert check_run(records) == []
        assert isinstance(records[0].event, RunCreated)
        assert records[0].event.project == row.project


def test_cancelling_a_run_leaves_the_one_with_its_key_in_the_other_project_alone(drivers, store):
    started = drivers(*PROJECTS * DRIVERS)
    wait_until(lambda: all(Path(f"waiting-{project}").exists() for project in PROJECTS))
    store.request_cancel(store.by_key("north", agents.UNWANTED).id, "a person")
    assert results(started[0::2]) == BUT_ONE
    assert store.by_key("south", agents.UNWANTED).status == "running"
    assert store.by_key("south", agents.UNWANTED).cancel_requested_by is None
    Path("go").touch()
    assert results(started[1::2]) == AS_EXPECTED
    assert set(ledger().values()) == {1}


def test_removing_a_projects_runs_takes_nothing_from_the_other_that_is_still_at_work(drivers, store):
    north, south = drivers("north")[0], drivers("south")[0]
    wait_until(lambda: all(Path(f"waiting-{project}").exists() for project in PROJECTS))
    store.request_cancel(store.by_key("north", agents.UNWANTED).id, "a person")
    assert results([north]) == BUT_ONE
    for row in store.runs():
        if row.project == "north":
            store.delete(row.id)
    loose = list(loose_blobs(store, now=time.time() + LATER))
    assert loose != []
    for blob in loose:
        store.blobs.delete(blob.digest)
    Path("go").touch()
    assert results([south]) == AS_EXPECTED
    assert {row.project for row in store.runs()} == {"south"}
    done = ledger()
    assert results(drivers("south")) == AS_EXPECTED  # from the journal, with the blob that both had
    assert ledger() == done
    assert results(drivers("north")) == AS_EXPECTED  # anew: nothing of the other project's is taken for its own
    assert (ledger() - done).total() == agents.KEYS * 8
    assert {project for project, _ in ledger() - done} == {"north"}
    assert store.check() == []


@pytest.mark.control
def test_were_the_project_no_part_of_the_key_one_would_be_given_the_runs_of_the_other(drivers, store):
    Path("go").touch()
    started = drivers(*PROJECTS, kept_in="default")
    assert [results([process]) for process in started] != [AS_EXPECTED] * 2
    assert len(store.runs()) == agents.KEYS


@regrow.task(memory="128Mi", on_oom=regrow.grow(2))
def fits(size: int) -> int:
    return len(bytearray(size))


def test_the_size_that_a_task_needed_is_remembered_for_its_project_alone():
    with contextlib.closing(SqliteStore("home")) as store:
        regrow.run(fits, 1000, store=store, project="north")
        classes = range(64)
        assert [one for number in classes for one in store.sizes(f"{__name__}:fits", number, "north")] != []
        for other in ("south", "default"):
            assert [one for number in classes for one in store.sizes(f"{__name__}:fits", number, other)] == []
        home.forget(home.host_of(store))
