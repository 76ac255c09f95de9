"""What a call asks the cache, how long it waits for another one, and what it leaves there."""

from __future__ import annotations

import asyncio
import types
from collections import Counter

import pytest

import regrow
from regrow.codec import capture, encode
from regrow.engine.branches import Branch
from regrow.engine.caching import Hit, ask, key_of, share
from regrow.engine.callee import Callee, Invocation
from regrow.engine.state import CallState
from regrow.engine.todo import Pause
from regrow.engine.vault import Kept, Vault
from regrow.journal.cache import Artifact, Circular, Found, Granted, InFlight
from regrow.journal.memory import MemoryStore
from regrow.journal.records import AttemptFailed, BlobRef, CacheHit, Call
from regrow.values.options import Options

pytestmark = pytest.mark.unit

CALL = Call("task#1/compute#1", "step", 1, b"digest")
ORIGIN = CacheHit("other", "task#1/compute#1", 50.0, 3.0, 0)
ELSEWHERE = InFlight("other", "task#1/compute#1")
SHARED = regrow.Cache()


class Cache:
    """Says one thing after the other, the last for ever, and notes what it is asked and told."""

    def __init__(self, *says):
        self.says = list(says)
        self.looked = []
        self.put_in = []
        self.told = []

    def look_up(self, key, **how):
        self.looked.append((key, how))
        says = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(says, Exception):
            raise says
        return says

    def put(self, artifact, flight, **how):
        self.put_in.append((artifact, flight, how))

    def land(self, flight):
        self.told.append(("land", flight))

    def discard(self, keys, *, now):
        self.told.append(("discard", keys, now))


class Driver:
    """What the cache's side of a call needs of its driver."""

    def __init__(self, *says):
        self.run = "r"
        self.project = "ours"
        self.cache = Cache(*says)
        self.around = types.SimpleNamespace(cache=self.cache)
        self.vault = Vault(MemoryStore().blobs)
        self.log = types.SimpleNamespace(state=types.SimpleNamespace(costs=Counter()))
        self.warned = {}
        self.closing = False

    def now(self):
        return 100.0

    def check(self):
        if self.closing:
            raise asyncio.CancelledError

    def warn_once(self, about, text):
        self.warned.setdefault(about, text)


def compute(number=0, client=None): ...


def callee_of(fingerprint=lambda names: b"code"):
    return Callee(compute, "step", "sync", Options(), "compute", "here:compute", fingerprint)


def asking(driver, *args, cache=SHARED, known=None, in_loop=True, callee=None):
    branch = Branch(types.SimpleNamespace(path="task#1"), "task#1/")
    return ask(driver, Invocation(callee or callee_of(), branch, args, {}), CALL, known, cache, in_loop=in_loop)


def asked(driver, *args, **how):
    """Give the pauses that are made, and what comes of asking in the end."""
    life, pauses = asking(driver, *args, **how), []
    try:
        while True:
            pauses.append(next(life))
    except StopIteration as end:
        assert all(isinstance(pause, Pause) for pause in pauses)
        return [pause.seconds for pause in pauses], end.value


def artifact_of(value, **more):
    return Artifact("key", "here:compute", ORIGIN, value=value, **more)


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_what_is_there_is_given_without_a_pause():
    driver = Driver(Found(artifact_of(encode(7))))
    pauses, hit = asked(driver)
    assert (pauses, hit.result, hit.artifact.origin) == ([], 7, ORIGIN)
    ((_, how),) = driver.cache.looked
    assert how == {"run": "r", "path": CALL.path, "now": 100.0, "max_age": None, "failures": False}


def test_it_looks_again_while_another_call_computes_and_less_and_less_often():
    driver = Driver(*[ELSEWHERE] * 20, Found(artifact_of(encode(7))))
    pauses, hit = asked(driver)
    assert hit.result == 7
    assert pauses == sorted(pauses)
    assert 0.0 < pauses[0] < pauses[1] < pauses[4] < 10 * pauses[0] <= pauses[-1] == pauses[-2] < 1.0


@pytest.mark.parametrize("in_loop", [True, False])
def test_after_an_hour_it_computes_that_as_well(in_loop):
    pauses, errand = asked(Driver(ELSEWHERE), in_loop=in_loop)
    assert 3600.0 <= sum(pauses) < 3600.0 + 2 * pauses[-1]
    assert errand.flight == 0


def test_on_the_thread_of_a_loop_it_waits_for_nobody():
    async def on_the_loop():
        return asked(Driver(ELSEWHERE), in_loop=False)

    pauses, errand = asyncio.run(on_the_loop())
    assert pauses == []
    assert errand is not None


def test_a_run_that_ends_meanwhile_waits_no_longer():
    driver = Driver(ELSEWHERE)
    life = asking(driver)
    next(life)
    driver.closing = True
    with pytest.raises(asyncio.CancelledError):
        next(life)


def test_two_that_wait_for_each_other_are_computed_and_shared_all_the_same():
    driver = Driver(Circular())
    _, errand = asked(driver)
    share(errand, Kept(encode(7)), 1.0)
    assert len(driver.cache.put_in) == 1


def test_where_the_cache_cannot_be_asked_the_call_is_computed_and_it_is_tried_once_more_to_share_it():
    driver = Driver(ValueError("broken"))
    _, errand = asked(driver)
    share(errand, Kept(encode(7)), 1.0)
    assert len(driver.cache.put_in) == 1
    assert list(driver.warned.values()) == ["the cache cannot be used, and calls are executed: ValueError: broken"]


def test_what_interrupts_a_worker_while_it_asks_is_no_trouble_of_the_caches():
    with pytest.raises(regrow.WorkerLost):
        asked(Driver(regrow.WorkerLost(CALL.path)))


# -- failures ----------------------------------------------------------------------------------------------------------


class OffTopic(regrow.Failure):
    """What a model says is no answer."""

    layer = "semantic"


FAILED = AttemptFailed(CALL, 1, 1.0, capture(LookupError()), 1.0)


@pytest.mark.parametrize(
    ("failures", "known", "wanted"),
    [
        (False, None, False),
        (True, None, True),
        (True, CallState(CALL, 1), True),
        (True, CallState(CALL, 1, attempts=(FAILED,)), False),
    ],
)
def test_a_failure_will_do_where_the_author_says_so_and_nothing_has_failed_here(failures, known, wanted):
    driver = Driver(Granted(1))
    asked(driver, cache=regrow.Cache(failures=failures), known=known)
    ((_, how),) = driver.cache.looked
    assert how["failures"] is wanted


@pytest.mark.parametrize(
    ("failures", "error", "left"),
    [
        (True, LookupError("none"), True),
        (True, OffTopic("on cats"), True),
        (False, LookupError("none"), False),
        (True, ConnectionError("down"), False),
        (True, regrow.Denied("task#1/compute#1/pay#1", "ann"), False),
        (True, regrow.NoAnswer("task#1/compute#1/ask#1", 5.0), False),
    ],
)
def test_only_failures_of_the_code_are_left_to_others_and_none_that_regrow_itself_established(failures, error, left):
    driver = Driver(Granted(5))
    _, errand = asked(driver, cache=regrow.Cache(failures=failures))
    errand.leave_failure(capture(error), 2.0)
    assert [(artifact.value, flight) for artifact, flight, _ in driver.cache.put_in] == [(None, 5)] * left


# -- what is left ------------------------------------------------------------------------------------------------------


def test_whoever_computes_leaves_the_result_with_its_origin_and_lands():
    driver = Driver(Granted(5))
    driver.log.state.costs[CALL.path] = 12
    _, errand = asked(driver)
    share(errand, Kept(encode(7), ("digest",)), 0.5)
    ((artifact, flight, how),) = driver.cache.put_in
    assert (artifact.value, artifact.blobs, artifact.ref) == (encode(7), ("digest",), "here:compute")
    assert artifact.origin == CacheHit("r", CALL.path, 100.0, 0.5, 12)
    assert (flight, how) == (5, {"run": "r", "project": "ours", "bound": False})
    errand.end()
    assert driver.cache.told == []  # it has landed already


def test_a_clock_that_was_set_back_meanwhile_makes_no_call_take_less_than_no_time():
    driver = Driver(Granted(5))
    _, errand = asked(driver)
    share(errand, Kept(encode(7)), -60.0)
    assert driver.cache.put_in[0][0].origin.seconds == 0.0


def test_whoever_has_computed_nothing_lets_others_take_its_place():
    driver = Driver(Granted(5))
    _, errand = asked(driver)
    errand.end()
    assert driver.cache.told == [("land", 5)]


def test_what_only_the_run_itself_can_use_goes_with_it():
    driver = Driver(Granted(5))
    _, errand = asked(driver, cache=regrow.Cache(scope="run"))
    share(errand, Kept(encode(7)), 1.0)
    assert driver.cache.put_in[0][2]["bound"] is True


# -- artifacts that are damaged ----------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_thrown_away_and_then_computed():
    driver = Driver(Found(artifact_of(b"\xff")), Granted(5))
    pauses, errand = asked(driver)
    assert (pauses, errand.flight) == ([], 5)
    ((key, _), _) = driver.cache.looked
    assert driver.cache.told == [("discard", (key,), 100.0)]
    (said,) = driver.warned.values()
    assert said.startswith("what task#1/compute#1 of run other left in the cache cannot be read, and is computed again")


def test_what_the_store_has_found_damaged_is_computed_again_and_that_is_said():
    driver = Driver(Granted(5, damaged=True))
    _, errand = asked(driver)
    assert errand.flight == 5
    assert list(driver.warned.values()) == ["an artifact of task#1/compute#1 was damaged; it is computed again"]
    other = Driver(Granted(5))
    asked(other)
    assert other.warned == {}


def test_what_cannot_be_read_and_not_be_thrown_away_either_is_computed_and_left_in_its_place():
    driver = Driver(Found(artifact_of(b"\xff")))
    _, errand = asked(driver)
    assert len(driver.cache.looked) == 2
    share(errand, Kept(encode(7)), 1.0)
    assert len(driver.cache.put_in) == 1


def test_a_result_of_which_a_part_is_gone_is_none():
    driver = Driver()
    whole = driver.vault.keep(b"x" * 100_000, "result")
    assert isinstance(whole.value, BlobRef)
    driver.cache.says = [Found(artifact_of(whole.value, blobs=("00" * 32, *whole.blobs))), Granted(5)]
    assert not isinstance(asked(driver)[1], Hit)
    driver.cache.says = [Found(artifact_of(encode(7), blobs=("00" * 32,))), Granted(5)]
    assert not isinstance(asked(driver)[1], Hit)
    driver.cache.says = [Found(artifact_of(whole.value, blobs=whole.blobs)), Granted(5)]
    assert asked(driver)[1].result == b"x" * 100_000


# -- keys --------------------------------------------------------------------------------------------------------------


def test_an_input_that_cannot_be_compared_is_named_with_its_function():
    driver = Driver(Granted(5))
    assert asked(driver, 1, object())[1] is None
    assert driver.cache.looked == []
    (said,) = driver.warned.values()
    assert said.startswith("compute is executed without the cache: compute")
    assert "Cache(ignore=…)" in said


def test_a_key_of_the_authors_that_fails_fails_no_call_and_the_error_is_named():
    def key(*_):
        raise ZeroDivisionError("by zero")

    driver = Driver(Granted(5))
    assert asked(driver, cache=regrow.Cache(key=key))[1] is None
    assert list(driver.warned.values()) == [
        "compute is executed without the cache: ZeroDivisionError: by zero",
    ]


def test_only_equal_calls_of_the_same_code_have_the_same_key():
    driver, callee = Driver(), callee_of()
    branch = Branch(types.SimpleNamespace(path="task#1"), "task#1/")

    def key(*args, cache=SHARED, code=b"code"):
        return key_of(driver, Invocation(callee, branch, args, {}), cache, code)

    same = {key(1), key(1, None), key(1, cache=regrow.Cache(version=""))}
    others = {
        key(2),
        key(1, code=b"other"),
        key(1, cache=regrow.Cache(version=2)),
        *(key(1, cache=regrow.Cache(scope=scope)) for scope in ("run", "global")),
    }
    assert len(same) == 1
    assert len(others) == 5
    assert same.isdisjoint(others)
    assert key(1, object(), cache=regrow.Cache(ignore=("client",))) == key(
        1, "x", cache=regrow.Cache(ignore=("client",))
    )
