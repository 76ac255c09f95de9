"""Three drivers on one store, and something of them killed all the time: every run comes out as if nothing had been.

REGROW_KILL_SECONDS=600 goes on for longer, REGROW_KILLS=1000 until there were so many; REGROW_KILL_SEED chooses the
hardship.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import regrow
from regrow.journal.chain import unseal_all
from regrow.testing import MemoryStore

from . import random_kill_agents as agents
from .random_kills import Effect, Figures, campaign, judge_run, judge_service

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="who is whose child, and since when, is told by /proc")


@pytest.mark.promise("P1", "P2", "P3", "P8")
def test_runs_whose_drivers_and_workers_are_killed_at_random_come_out_as_if_undisturbed(tmp_path, request, figures):
    kills = int(os.environ.get("REGROW_KILLS") or 0)
    seconds = float(os.environ.get("REGROW_KILL_SECONDS") or (0 if kills else 20))
    seed = int(os.environ.get("REGROW_KILL_SEED") or int.from_bytes(os.urandom(4), "big"))
    print(
        f"\nto repeat: REGROW_KILL_SEED={seed} REGROW_KILL_SECONDS={seconds:g} "
        f"REGROW_KILLS={kills} python -m pytest -s '{request.node.nodeid}'"
    )
    place = tmp_path / "campaign"
    place.mkdir()
    found = campaign(place, seconds, seed, kills)
    print(found.describe())
    figures(found)
    assert found.violations == []
    assert found.runs > 0
    assert found.kills["driver"] > 0
    assert found.kills["worker"] > 0
    assert found.takeovers > 0


# -- controls: what the judges must see --------------------------------------------------------------------------------

LABELS = {"one", "two"}


@regrow.task
async def walk() -> list[str]:
    return [await agents.tell(label) for label in sorted(LABELS)]


@pytest.fixture
def walked():
    """Give the records of an undisturbed run, and its effects."""
    store = MemoryStore()
    regrow.run(walk, store=store)
    (row,) = store.runs()
    lines = Path("ledger").read_bytes().splitlines()
    return unseal_all(row.id, store.read(row.id)), [msgspec.json.decode(line, type=Effect) for line in lines]


def test_an_undisturbed_run_is_judged_right(walked):
    records, effects = walked
    assert judge_run(records, effects, LABELS) == []


@pytest.mark.control
def test_an_effect_that_is_missing_or_unasked_is_seen(walked):
    records, (one, two) = walked
    assert judge_run(records, [one], LABELS) == ["'two' was never done"]
    assert judge_run(records, [one, two], {"one"}) == ["'two' was done unasked"]


@pytest.mark.control
def test_a_step_that_runs_again_though_nothing_died_is_seen(walked):
    records, (one, two) = walked
    assert judge_run(records, [one, one, two], LABELS) == [
        "walk#1/tell#1 was executed 2 times; its journal allows 1",
    ]


@pytest.mark.control
def test_a_step_that_runs_again_after_its_result_was_recorded_is_seen(walked):
    records, (one, two) = walked
    again = msgspec.structs.replace(one, at=records[-1].time + 1)
    assert "walk#1/tell#1 was executed after its result was recorded, or was never recorded" in judge_run(
        records, [one, again, two], LABELS
    )


@pytest.mark.control
def test_an_attempt_that_comes_with_another_idempotency_key_is_seen(walked):
    records, (one, two) = walked
    stranger = msgspec.structs.replace(one, key="other")
    assert "walk#1/tell#1 has not one idempotency key of its own" in judge_run(records, [one, stranger, two], LABELS)
    same = msgspec.structs.replace(two, key=one.key)
    assert judge_run(records, [one, same], LABELS) == ["walk#1/tell#2 has not one idempotency key of its own"]


@pytest.mark.control
def test_the_writing_of_a_driver_whose_lease_was_lost_is_seen(walked):
    records, effects = walked
    late = [*records[:-1], msgspec.structs.replace(records[-1], epoch=0)]
    assert judge_run(late, effects, LABELS) != []


@pytest.mark.control
def test_a_service_that_is_not_told_the_same_key_twice_is_seen_to_do_it_twice():
    receipts = {agents.ask_service(key) for key in ("key", "key")}
    assert len(receipts) == 1
    assert judge_service({"key"}, booked()) == []
    agents.ask_service("made up for a second attempt")
    assert judge_service({"key"}, booked()) == ["the service did made up for a second attempt, which no step has"]
    assert judge_service({"lost"}, ["twice", "twice"]) != []
    assert judge_service({"twice"}, ["twice", "twice"]) == ["the service did twice 2 times"]


def booked():
    return [json.loads(line)[0] for line in Path("book").read_text().splitlines()]


@pytest.mark.control
@pytest.mark.parametrize("alive", [True, False], ids=["alive", "dead"])
def test_a_worker_that_begins_while_another_is_in_its_call_is_seen_if_that_one_lives(alive):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        Path("workers/call").mkdir(parents=True)
        Path(f"workers/call/{other.pid}-{agents.born(other.pid)}").touch()
        if not alive:
            other.kill()
            other.wait()
        with agents.seen_as_worker("call"):
            pass
        seen = Path("overlaps").read_text() if Path("overlaps").exists() else ""
        assert seen == (f'["call", {other.pid}, {os.getpid()}]\n' if alive else "")
    finally:
        other.kill()
        other.wait()
        other.stdin.close()


def test_the_slowest_recovery_is_in_the_last_percentile():
    figures = Figures(0, recoveries={"driver": [3.0], "worker": [1.0, 2.0]})
    assert (figures.recovery(0.5), figures.recovery(0.99)) == (2.0, 3.0)
