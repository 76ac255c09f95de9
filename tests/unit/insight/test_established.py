"""What regrow has established of a recorded failure."""

from __future__ import annotations

import pytest

from regrow.codec import capture
from regrow.errors import OutcomeUnknown, OutOfMemory, TimedOut
from regrow.insight.established import established, failure_in, failure_name
from regrow.remedies import GiveUp, Grow

from .writing import MIB, error

pytestmark = pytest.mark.unit


class Theirs(OutOfMemory):
    """A user's own failure, whose class is loaded here."""

    @property
    def remedies(self):
        raise AssertionError("a viewer ran the user's code")


def oom():
    return OutOfMemory("a#1/train#1", peak=250 * MIB, limit=256 * MIB, enforced_by="cgroup v1").explained(
        confidence="certain", evidence=("the cgroup counted one kill",), facts={"attempt": 1}
    )


def test_a_recorded_failure_gives_back_its_evidence_and_its_ways_out():
    known = established(capture(oom()))
    assert (known.type, known.path, known.confidence) == ("OutOfMemory", "a#1/train#1", "certain")
    assert known.evidence == ("the cgroup counted one kill",)
    assert known.facts == {"attempt": 1}
    assert known.remedies == (Grow(memory=512 * MIB), GiveUp())
    assert "the cgroup counted one kill" in known.text


def test_an_exception_of_the_codes_own_is_nothing_that_regrow_has_established():
    assert established(error("theirs")) is None
    assert established(None) is None


def test_what_the_code_made_of_a_failure_leads_back_to_it():
    assert established(error("no model", cause=oom())).type == "OutOfMemory"
    group = ExceptionGroup("many", [ValueError("theirs"), oom()])
    assert established(capture(group)).type == "OutOfMemory"


def test_a_failure_whose_class_knows_no_way_out_of_its_own_lists_none():
    assert established(capture(OutcomeUnknown("t#1", "key"))).remedies == ()
    assert established(capture(TimedOut("t#1", 5.0, "timeout"))).remedies != ()


def test_no_property_of_a_users_class_is_run_by_a_viewer():
    assert failure_in(capture(Theirs("t#1", peak=None, limit=None))) is None


def test_a_failures_name_is_that_of_its_class():
    assert failure_name(capture(oom())) == "OutOfMemory"
    assert failure_name(error()) == "ValueError"
    assert failure_name(None) == ""
