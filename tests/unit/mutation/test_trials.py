"""Trials of mutants: what passes, fails, hangs, breaks, or fails by chance."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from functools import partial

import pytest
from mutation.laboratory import KnownTest, Result, examine
from mutation.mutants import mutants_of
from mutation.trials import Trial, TrialBrokenError, begins, hold

LIMITS = {"quick": 0.3, "slow": 60.0}


def outcomes(*bodies, at_once=2):
    queue = deque((number, partial(Trial, body, LIMITS)) for number, body in enumerate(bodies))
    return [outcome for _, outcome in sorted(hold(queue, at_once), key=lambda found: found[0])]


def body(end, test="quick"):
    def run(say):
        say(begins(test))
        say("words")
        return end()

    return run


def hang():
    time.sleep(3600)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_trial_ends_as_its_body_says_with_the_test_that_it_was_at():
    passed, failed, died = outcomes(body(lambda: True), body(lambda: False, "slow"), body(die))
    assert (passed.verdict, passed.said) == ("passed", ("words",))
    assert (failed.verdict, failed.test) == ("failed", "slow")
    assert died.verdict == "failed"


def test_a_test_that_hangs_is_ended_by_its_own_limit():
    (hung,) = outcomes(body(hang))
    assert (hung.verdict, hung.test) == ("timed out", "quick")


def test_what_a_trial_has_started_ends_with_it():
    def run(say):
        pid = os.fork()
        if pid == 0:
            time.sleep(3600)
        say(str(pid))
        return True

    (outcome,) = outcomes(run)
    limit = time.monotonic() + 20
    while os.path.exists(f"/proc/{outcome.said[0]}") and _state(outcome.said[0]) != "Z":  # noqa: PTH110 - gone any time
        assert time.monotonic() < limit
        time.sleep(0.01)


def _state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - likewise
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_mistake_of_the_harness_is_no_failure_of_a_test():
    def mistaken():
        raise ZeroDivisionError

    with pytest.raises(TrialBrokenError, match="ZeroDivisionError"):
        outcomes(body(mistaken))


# -- examining ---------------------------------------------------------------------------------------------------------


MUTANTS = mutants_of("engine/decide.py")
MUTANT = next(one for one in MUTANTS if one.function is not None)


def known(name, seconds=0.0, reached=True):
    lines = frozenset(MUTANT.lines) if reached else frozenset()
    return KnownTest(name, seconds, {str(MUTANT.file): lines})


def examined(tests, failing, **more):
    """Examine one mutant: `failing` says of a test whether it fails now."""

    def run(mutant, chosen, say):
        for test in chosen:
            say(begins(test.name))
            if failing(test.name):
                return False
        return True

    ((_, result),) = examine([MUTANT], tests, run, **({"at_once": 1, "budget": 10.0} | more))
    return result


@pytest.mark.control
def test_a_mutant_that_no_test_notices_survives():
    assert examined([known("a"), known("b")], lambda name: False) == Result("survived")


def test_a_mutant_is_killed_by_the_first_test_that_fails_twice():
    assert examined([known("a"), known("b"), known("c")], lambda name: name in "bc") == Result("killed", "b")


@pytest.mark.control
def test_a_test_that_fails_by_chance_kills_nothing_and_those_after_it_are_still_run(tmp_path):
    def chance(name):
        if name != "b" or (tmp_path / "failed").exists():
            return name == "c"
        (tmp_path / "failed").touch()
        return True

    assert examined([known("a"), known("b"), known("c")], chance) == Result("killed", "c")
    (tmp_path / "failed").unlink()
    assert examined([known("a"), known("b")], chance) == Result("survived")


def test_only_tests_that_reach_the_place_are_run_quickest_first_and_within_the_budget():
    tests = [known("slow", 6.0), known("elsewhere", reached=False), known("quick", 1.0), known("middle", 5.0)]
    assert examined(tests, lambda name: name in ("slow", "elsewhere")) == Result("survived")
    assert examined(tests, lambda name: name in ("slow", "middle")) == Result("killed", "middle")


def test_tests_named_after_the_module_are_run_first_whatever_they_cost():
    tests = [known("quick", 1.0), known("tests/unit/engine/test_decide.py::long", 50.0)]
    assert examined(tests, lambda name: True) == Result("killed", "tests/unit/engine/test_decide.py::long")


def test_a_place_that_no_test_reaches_is_tried_in_a_fresh_process():
    assert examined([known("a", reached=False)], lambda name: True) is None
    assert examined([known("a", reached=False)], lambda name: True, imported=True) == Result("killed", "a")
