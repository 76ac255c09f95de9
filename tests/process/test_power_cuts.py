"""Power cuts under drivers at work: what the code was told is there, and every run goes on to its result.

REGROW_POWER_CUTS=200 makes that many; REGROW_POWER_CUT_SEED chooses their moments.
"""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from . import power_cut_agents as agents
from .power_cuts import Left, campaign, judge_lost, judge_repeated
from .volatile_disk import FLUSH, SECTOR, TOLD, WRITE, Unmountable, cut

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ext4 and loop devices are Linux's")


@pytest.fixture
def cut_power(tmp_path, request):
    """Give a function that runs a campaign, by default of a few cuts; skips where no disk can be mounted."""
    seed = int(os.environ.get("REGROW_POWER_CUT_SEED") or int.from_bytes(os.urandom(4), "big"))
    cuts = int(os.environ.get("REGROW_POWER_CUTS") or 6)
    print(
        f"\nto repeat: REGROW_POWER_CUT_SEED={seed} REGROW_POWER_CUTS={cuts} "
        f"python -m pytest -s '{request.node.nodeid}'"
    )

    def run(cuts=cuts, **options):
        place = tmp_path / "disk"
        place.mkdir()
        try:
            found = campaign(place, cuts, seed, **options)
        except Unmountable as missing:
            pytest.skip(f"no disk can be mounted here: {missing}")
        print(found.describe())
        if options or not found.lost + found.violations:  # else the log stays: no seed brings the same history back
            shutil.rmtree(place)
        return found

    return run


@pytest.mark.promise("P1", "P2", "P7")
def test_a_power_cut_takes_nothing_back_that_was_acknowledged(cut_power, figures):
    found = cut_power()
    figures(found)
    assert found.lost == []
    assert found.violations == []
    assert found.told > 0
    assert found.blobs > 0
    assert found.resumed > 0


@pytest.mark.control
def test_without_full_sync_a_power_cut_takes_steps_back_but_leaves_no_damage(cut_power):
    found = cut_power(5, store=agents.WithoutFullSync)
    assert found.lost != []
    assert found.violations == []


@pytest.mark.control
def test_blobs_that_are_not_synced_before_their_records_are_seen_to_be_damaged(cut_power):
    found = cut_power(4, store=agents.WithoutBlobSync)
    assert [text for text in found.violations if "blob" in text] != []


@pytest.mark.control
def test_a_disk_that_takes_no_notice_of_flushes_is_seen_to_lose_something(cut_power):
    found = cut_power(3, heeds_flushes=False)
    assert found.lost + found.violations != []


# -- controls: what the judges must see --------------------------------------------------------------------------------


def test_what_was_told_and_is_not_there_is_lost():
    told = [["executed", "r", "a#1"], ["acknowledged", "r", "a#1"], ["begun", "r", "b#1"], ["ended", "r", ""]]
    assert judge_lost(told, Left()) == ["acknowledged: r a#1", "begun: r b#1", "ended: r "]
    assert judge_lost(told, Left(begun={("r", "b#1")}, done={("r", "a#1")}, ended={"r"})) == []
    assert judge_lost([["begun", "r", "b#1"]], Left(done={("r", "b#1")})) == []
    assert judge_lost([["acknowledged", "other", "a#1"]], Left(done={("r", "a#1")})) == ["acknowledged: other a#1"]


def test_what_was_recorded_and_is_executed_again_is_seen():
    left = Left(begun={("r", "once#1"), ("r", "task#1")}, done={("r", "a#1")})
    assert judge_repeated([["executed", "r", "a#1"]], left) == ["r a#1 was executed again"]
    assert judge_repeated([["begun", "r", "once#1"]], left) == ["r once#1 was begun again"]
    assert (
        judge_repeated([["executed", "r", "task#1"], ["executed", "r", "a#2"], ["acknowledged", "r", "a#1"]], left)
        == []
    )


class Choice:
    """Dice that let a given share of what is in the disk's cache be written out."""

    def __init__(self, share, *rolls):
        self._share = share
        self._rolls = list(rolls)

    def choice(self, shares):
        assert self._share in shares
        return self._share

    def random(self):
        return self._rolls.pop(0)


WRITTEN = [(WRITE, 0, b"a" * SECTOR), (FLUSH, 0, b""), (TOLD, 0, b"one\n"), (WRITE, SECTOR, b"b" * 2 * SECTOR)]
BLANK = b"-" * SECTOR * 3


@pytest.mark.parametrize(
    ("dice", "left"),
    [(Choice(0.0), b"a--"), (Choice(1.0), b"abb"), (Choice(0.5, 0.9, 0.1), b"a-b")],
    ids=["nothing", "everything", "some sectors"],
)
def test_what_was_flushed_is_there_and_of_what_was_not_whatever_the_cache_had_written(dice, left):
    found = cut(BLANK, WRITTEN, 4, dice)
    assert found.image[::SECTOR] == left
    assert found.told == b"one\n"


def test_what_comes_after_the_cut_is_not_there():
    found = cut(BLANK, WRITTEN, 2, Choice(1.0))
    assert found.image[::SECTOR] == b"a--"
    assert found.told == b""


def test_a_disk_that_takes_no_notice_of_flushes_may_lose_everything():
    assert cut(BLANK, WRITTEN, 4, Choice(0.0), heeds_flushes=False).image == BLANK
