"""When a run is at rest, by the calls that are under way and those that only wait."""

from __future__ import annotations

import pytest

from regrow.engine.holding import Holding

pytestmark = pytest.mark.unit


def test_without_a_call_under_way_all_is_at_rest():
    assert Holding().is_at_rest


def test_a_body_at_work_is_waited_for():
    holding = Holding()
    with holding.at_work("agent#1"):
        assert not holding.is_at_rest
    assert holding.is_at_rest


def test_whoever_waits_for_a_call_that_waits_is_at_rest_too():
    holding = Holding()
    with holding.at_work("agent#1"), holding.at_work("agent#1/~work#1/work#1"):
        with holding.at_rest("agent#1/~work#1/work#1"):
            assert holding.is_at_rest
        assert not holding.is_at_rest


def test_a_strand_that_waits_does_not_speak_for_a_call_beside_it():
    holding = Holding()
    with holding.at_work("agent#1"), holding.at_work("agent#1/slow#1"), holding.at_rest("agent#1"):
        assert not holding.is_at_rest


def test_a_call_is_at_rest_as_long_as_one_of_its_strands_waits():
    holding = Holding()
    with holding.at_work("agent#1"):
        holding.rest("agent#1")
        holding.rest("agent#1")
        holding.go_on("agent#1")
        assert holding.is_at_rest
        holding.go_on("agent#1")
        assert not holding.is_at_rest


def test_while_it_holds_back_each_change_is_told_and_nothing_else():
    holding, told = Holding(), []
    holding.told = told.append
    with holding.at_work("a#1"):
        holding.begin()
        assert told == []
        with holding.at_rest("a#1/b#1"):
            holding.rest("a#1")
            assert told == [True]
            holding.go_on("a#1")
        assert told == [True, False]
    assert told == [True, False, True]


def test_what_is_at_rest_when_holding_back_begins_is_told_at_once():
    holding, told = Holding(), []
    holding.told = told.append
    with holding.at_work("a#1"), holding.at_rest("a#1"):
        holding.begin()
        assert told == [True]


def test_nothing_is_held_back_or_told_before_that_has_begun():
    holding, told = Holding(), []
    holding.told = told.append
    with holding.at_work("a#1"), holding.at_rest("a#1"):
        assert not holding.on
    assert told == []
    Holding().begin()  # without anybody to tell
