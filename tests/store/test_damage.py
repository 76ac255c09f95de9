"""Whole stores that were damaged anywhere: what a user meets is what was written, or an error that names it.

REGROW_DAMAGE_ROUNDS=5000 tries more; REGROW_SEED chooses the damage. What lies outside of the chains, and is not seen,
is counted apart (`Figures`), so that nobody takes it for harmless.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import apsw
import pytest

from regrow.engine.host import Host
from regrow.errors import Corrupted
from regrow.executors.inline import InlineExecutor
from regrow.healing.ladder import Ladder
from regrow.insight.runs import find_run
from regrow.journal.store import LogLine

from .damage import Figures, campaign, count

pytestmark = pytest.mark.store

_IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path):
    place = Path(tempfile.mkdtemp(prefix="regrow-damage-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else tmp_path))
    yield place
    shutil.rmtree(place)


@pytest.mark.promise("P7")
def test_damage_anywhere_in_a_store_is_named_or_hits_nothing(folder, seed, request, figures):
    rounds = int(os.environ.get("REGROW_DAMAGE_ROUNDS") or 60)
    print(f"\nto repeat: REGROW_SEED={seed} REGROW_DAMAGE_ROUNDS={rounds} python -m pytest -s '{request.node.nodeid}'")
    found = campaign(folder, seed, rounds)
    print(found.describe())
    figures(found)
    assert found.violations == []
    assert found.rounds == rounds
    assert found.detected > 0
    assert found.tail_lost > 0
    assert found.resumed > 0


@pytest.mark.control
def test_the_control_without_the_comparison_of_hashes_damage_would_be_served(folder):
    figures = campaign(folder, 1, 12, blind=True)
    assert figures.harmful > 0, figures.describe()
    assert any("what is read is not what was written" in one for one in figures.violations)


# -- outside of the chains: the list of runs, leases, logs -------------------------------------------------------------


@pytest.fixture
def spoiled(sqlite, journal):
    """Give a hand that opens a store of two runs after a statement has damaged it."""
    store = sqlite.open()
    for run in ("run-1", "run-2"):
        journal(store, run, key=f"key of {run}").claim().append(3)
    store.write_logs("run-1", [LogLine(1.0, "task#1", 1, "INFO", "a line")])
    store.close()

    def spoil(statement):
        db = apsw.Connection(str(sqlite._home / "journal.db"))
        db.execute(statement)
        db.close()
        return sqlite.open()

    return spoil


def test_a_damaged_row_does_not_hide_the_other_runs(spoiled):
    store = spoiled("UPDATE runs SET outcome = 'suaceeded' WHERE id = 'run-1'")
    assert find_run(store, "run-2").id == "run-2"
    with pytest.raises(Corrupted, match="run-1"):
        find_run(store, "run-1")


@pytest.mark.parametrize("body", ["'text'", "x'95cb3ff0000000000000a3ff41fe01a0a0'"], ids=["type", "text"])
def test_a_log_whose_bytes_are_damaged_is_refused_by_name(spoiled, body):
    store = spoiled(f"UPDATE logs SET body = {body}")
    with pytest.raises(Corrupted, match="run run-1: its log is damaged"):
        store.read_logs("run-1")


@pytest.mark.parametrize("epoch", [0, -1, 2**62, 2**63 - 1, "'?'", 1.5])
def test_a_lease_that_is_not_above_the_epoch_of_the_last_record_is_refused(spoiled, epoch):
    """Two drivers could hold one epoch, and both would write."""
    store = spoiled(f"UPDATE runs SET epoch = {epoch} WHERE id = 'run-1'; UPDATE leases SET until = 0")
    host = Host(store, InlineExecutor(), Ladder())
    try:
        with pytest.raises(Corrupted, match="run-1"):
            host.take_up("run-1")
    finally:
        host.close()


def test_a_damaged_holder_leads_to_no_file_outside_of_the_store(spoiled, tmp_path):
    stranger = tmp_path / "stranger.lock"
    stranger.touch()
    store = spoiled("UPDATE leases SET holder = 'somebody (../../stranger)'")
    store.get("run-1")
    assert stranger.exists()


def test_a_holder_whose_name_is_damaged_does_not_cost_this_process_its_lock(spoiled):
    store = spoiled("UPDATE leases SET holder = 'somebody else' || substr(holder, instr(holder, ' pid '))")
    assert store.get("run-1").held
    assert store.get("run-1").held


def test_a_format_that_is_not_that_of_the_tables_is_refused_as_damage_and_nothing_is_changed(spoiled):
    for _ in range(2):
        with pytest.raises(Corrupted, match=r"journal\.db says that it has format 1, and its tables are of another"):
            spoiled("UPDATE meta SET value = '1' WHERE name = 'format'")


# -- what is counted as what -------------------------------------------------------------------------------------------


def verdict(**told):
    """Give what is said of a store in which all is well, with what is told otherwise."""
    well = {
        "looks": {"one": "same", "late": "same"}, "asked": {"one": "right", "late": "right"}, "moment": True,
        "whole": True, "doctor": False, "broken": [], "said": [],
    }  # fmt: skip
    return well | told


def counted(kind, verdict):
    figures = Figures(0)
    count(figures, kind, "round 0", verdict, ["late"])
    return figures


def test_a_store_that_is_as_it_was_is_harmless():
    assert counted("a flipped bit in the log", verdict()).harmless == 1


def test_what_is_refused_by_name_is_detected():
    assert counted("a flipped bit in the database", verdict(looks={"one": "refused", "late": "same"})).detected == 1


def test_a_shorter_run_is_a_lost_tail_only_in_the_log_and_only_where_a_commit_had_ended():
    shorter = {"one": "same", "late": "shorter"}
    assert counted("a cut in the log", verdict(looks=shorter, whole=False)).tail_lost == 1
    for kind, moment in (("a cut in the log", False), ("a flipped bit in the database", True)):
        figures = counted(kind, verdict(looks=shorter, whole=False, moment=moment))
        assert (figures.tail_lost, figures.unseen["shorter"]) == (0, 1)


def test_a_run_that_executes_again_what_it_had_recorded_is_not_harmless():
    assert counted("a spoiled row", verdict(asked={"one": "right", "late": "again"})).unseen["executed again"] == 1


def test_a_blob_that_stops_the_run_of_another_is_harmful():
    told = verdict(asked={"one": "refused", "late": "refused"}, looks={"one": "refused", "late": "same"})
    assert counted("a missing blob", told).harmful == 1


@pytest.mark.parametrize("said", ["it hung", "its process died", verdict(broken=["one: TypeError: no"])])
def test_a_crash_or_a_hang_or_a_bare_error_is_harmful(said):
    assert counted("a cut in the database", said).harmful == 1
