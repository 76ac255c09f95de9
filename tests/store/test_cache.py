"""The shared cache, in memory and in SQLite: artifacts, flights, and what must be kept for their sake."""

import msgspec
import pytest

from regrow.codec import capture, encode
from regrow.journal.cache import RETAINED_SECONDS, Artifact, Circular, Found, Granted, InFlight
from regrow.journal.records import CacheHit
from regrow.journal.store import NewRun

pytestmark = pytest.mark.store

NOW = 1_000.0


def artifact(key="k", value=7, *, time=NOW, **more):
    origin = CacheHit("r1", "a#1/f#1", time, 2.5)
    return Artifact(key, "agent:f", origin, **({"value": encode(value)} | more))


@pytest.fixture
def run(store, place):
    def begin(name, seconds=60.0):
        store.create(NewRun(name, "agent:a", 1.0))
        return store.claim(name, store.register(), seconds=seconds)

    return begin


@pytest.fixture
def ask(store):
    def look(key="k", *, run="r1", path="a#1/f#1", now=NOW, **more):
        return store.cache.look_up(key, run=run, path=path, now=now, **more)

    return look


def put(store, one, flight=0, run="r1", project="default", **more):
    store.cache.put(one, flight, run=run, project=project, **more)


def damage(store):
    with store.cache._db.writing() as db:
        db.execute("UPDATE cache_artifacts SET body = substr(body, 1, length(body) - 1) || x'ff'")


def test_what_was_put_is_found_as_it_was(store, ask):
    one = artifact(blobs=("b1", "b2"))
    put(store, one)
    assert ask() == Found(one)


def test_an_artifact_that_is_too_old_does_not_count(store, ask):
    put(store, artifact())
    assert ask(now=NOW + 10, max_age=10.0) == Found(artifact())
    assert isinstance(ask(now=NOW + 10.5, max_age=10.0), Granted)


def test_a_failure_counts_only_for_who_asks_for_failures(store, ask):
    failed = artifact(value=None, error=capture(ValueError("no")))
    put(store, msgspec.structs.replace(failed, value=None))
    assert isinstance(ask(failures=True), Found)
    assert isinstance(ask(failures=False), Granted)
    assert isinstance(ask(), Granted)


def test_only_one_is_granted_the_flight_and_the_others_are_told_whose_it_is(run, ask):
    run("r1"), run("r2")
    assert isinstance(ask(), Granted)
    assert ask(run="r2", path="a#1/f#1") == InFlight("r1", "a#1/f#1")
    assert ask(run="r1", path="a#1/f#2") == InFlight("r1", "a#1/f#1")


def test_who_asks_again_at_the_same_place_has_begun_a_new_life_and_goes_on(run, ask):
    run("r1")
    first = ask()
    again = ask()
    assert isinstance(again, Granted)
    assert again.flight > first.flight


def test_a_flight_that_lands_with_nothing_leaves_its_place_to_the_next(store, run, ask):
    run("r1"), run("r2")
    store.cache.land(ask().flight)
    assert isinstance(ask(run="r2"), Granted)


def test_a_flight_that_was_taken_over_cannot_end_the_one_that_took_its_place(store, run, ask):
    run("r1"), run("r2")
    old = ask()
    ask()
    store.cache.land(old.flight)
    assert isinstance(ask(run="r2"), InFlight)


def test_a_flight_ends_with_the_lease_of_its_run(store, run, ask):
    epoch = run("r1")
    run("r2")
    ask()
    store.release("r1", epoch)
    assert isinstance(ask(run="r2"), Granted)


def test_a_flight_of_an_earlier_lease_does_not_hold_anybody_up(store, run, ask):
    epoch = run("r1")
    run("r2")
    ask()
    store.release("r1", epoch)
    store.claim("r1", store.register())
    assert isinstance(ask(run="r2"), Granted)


def test_a_flight_ends_when_the_lease_has_run_out(store, place, run, ask):
    run("r1", seconds=place.lease)
    run("r2", seconds=60.0)
    ask()
    place.let_leases_run_out(store, "r1")
    assert isinstance(ask(run="r2"), Granted)


def test_leaving_a_process_ends_the_flights_inside_its_call_and_no_others(store, run, ask):
    run("r1"), run("r2")
    ask("inner", path="a#1/work#1/f#1")
    ask("beside", path="a#1/work#11")
    store.cache.leave("r1", "a#1/work#1")
    assert isinstance(ask("inner", run="r2"), Granted)
    assert isinstance(ask("beside", run="r2"), InFlight)


def test_a_call_never_waits_for_the_call_that_it_is_inside(run, ask):
    run("r1")
    ask(path="a#1/f#1")
    assert ask(path="a#1/f#1/g#1/f#1") == Circular()


def test_of_two_runs_that_want_each_others_flights_the_second_is_told_so(store, run, ask):
    run("r1"), run("r2")
    ask("k1", run="r1", path="a#1/one#1")
    ask("k2", run="r2", path="b#1/two#1")
    assert isinstance(ask("k2", run="r1", path="a#1/one#1/two#1"), InFlight)
    assert ask("k1", run="r2", path="b#1/two#1/one#1") == Circular()
    assert isinstance(ask("k2", run="r1", path="a#1/one#1/two#1"), InFlight)


def test_a_circle_of_three_is_found_as_well(run, ask):
    for place in (1, 2, 3):
        run(f"r{place}")
        ask(f"k{place}", run=f"r{place}", path="a#1/f#1")
    assert isinstance(ask("k2", run="r1", path="a#1/f#1/~s#1/g#1"), InFlight)
    assert isinstance(ask("k3", run="r2", path="a#1/f#1/g#1"), InFlight)
    assert ask("k1", run="r3", path="a#1/f#1/g#1") == Circular()


def test_a_wait_that_is_over_closes_no_circle(store, run, ask):
    run("r1"), run("r2")
    ask("k1", run="r1", path="a#1/one#1")
    two = ask("k2", run="r2", path="b#1/two#1")
    ask("k2", run="r1", path="a#1/one#1/two#1")
    put(store, artifact("k2"), two.flight, run="r2")
    ask("k3", run="r2", path="b#1/three#1")
    assert isinstance(ask("k1", run="r2", path="b#1/three#1/one#1"), InFlight)


def test_a_damaged_artifact_is_none_and_is_removed(store, run, ask):
    run("r1")
    put(store, artifact())
    damage(store)
    found = ask()
    assert isinstance(found, Granted)
    assert found.damaged
    assert store.cache.rows() == []


def test_an_artifact_under_another_ones_key_is_none(store, run, ask):
    put(store, artifact("other"))
    with store.cache._db.writing() as db:
        db.execute("UPDATE cache_artifacts SET key = 'k'")
    assert isinstance(ask(), Granted)


def test_hits_and_the_last_use_are_counted(store, ask):
    put(store, artifact())
    for moment in (NOW + 5, NOW + 9, NOW + 7):
        ask(now=moment)
    (row,) = store.cache.rows()
    assert (row.hits, row.used, row.computed) == (3, NOW + 9, NOW)


def test_what_was_used_last_is_listed_first_with_what_it_needs(store, ask):
    put(store, artifact("old", blobs=("b2", "b1")))
    put(store, artifact("new", time=NOW + 1), project="other")
    ask("old", now=NOW + 2)
    assert [(row.key, row.project, sorted(row.blobs)) for row in store.cache.rows()] == [
        ("old", "default", ["b1", "b2"]),
        ("new", "other", []),
    ]


def test_blobs_are_kept_as_long_as_their_artifact_and_an_hour_more(store):
    put(store, artifact(blobs=("b1",)))
    assert store.cache.blobs(now=NOW + 10 * RETAINED_SECONDS) == {"b1"}
    store.cache.discard(("k",), now=NOW + 5)
    assert store.cache.blobs(now=NOW + 4 + RETAINED_SECONDS) == {"b1"}
    assert store.cache.blobs(now=NOW + 5 + RETAINED_SECONDS) == frozenset()


def test_a_newer_artifact_takes_the_place_of_the_older_one_and_of_its_blobs(store, ask):
    put(store, artifact(blobs=("old", "both")))
    newer = artifact(value=8, time=NOW + 100, blobs=("both", "new"))
    put(store, newer)
    assert ask() == Found(newer)
    assert store.cache.blobs(now=NOW + 101) == {"old", "both", "new"}
    assert store.cache.blobs(now=NOW + 101 + RETAINED_SECONDS) == {"both", "new"}


def test_what_is_bound_to_a_run_goes_with_it(store, run):
    run("r1")
    put(store, artifact("mine"), bound=True)
    put(store, artifact("shared"))
    store.delete("r1")
    assert [row.key for row in store.cache.rows()] == ["shared"]


def test_it_is_there_for_the_next_process(place, store, ask):
    put(store, artifact())
    assert place.open().cache.artifact("k") == artifact()


def test_hits_are_written_down_sixty_four_at_a_time(store, ask):
    put(store, artifact())

    def written():
        with store.cache._db.reading() as db:
            return db.execute("SELECT hits FROM cache_artifacts").fetchall()[0][0]

    for _ in range(63):
        ask()
    assert written() == 0, "a hit itself writes nothing"
    ask()
    assert written() == 64
    ask()
    assert written() == 64


def test_an_artifact_that_is_only_too_old_is_not_damaged_and_stays_for_others(store, run, ask):
    run("r1")
    assert not ask("what nobody has put").damaged
    put(store, artifact())
    assert not ask(now=NOW + 10, max_age=5.0).damaged
    assert ask(now=NOW + 10) == Found(artifact())


def test_the_blobs_of_a_damaged_artifact_are_kept_an_hour_and_no_longer(store, run, ask):
    run("r1")
    put(store, artifact(blobs=("b1",)))
    damage(store)
    assert ask(now=NOW + 5).damaged
    assert store.cache.blobs(now=NOW + 4 + RETAINED_SECONDS) == {"b1"}
    assert store.cache.blobs(now=NOW + 5 + RETAINED_SECONDS) == frozenset()


def test_what_was_let_go_long_ago_is_forgotten_with_the_next_that_is_discarded(store):
    put(store, artifact("old", blobs=("b1",)))
    put(store, artifact("new", blobs=("b2",)))
    store.cache.discard(("old",), now=NOW)
    store.cache.discard(("new",), now=NOW + 2 * RETAINED_SECONDS)
    assert store.cache.blobs(now=NOW) == {"b2"}


def test_a_list_says_of_each_artifact_whether_it_is_a_failure(store):
    put(store, artifact("good"))
    put(store, artifact("bad", value=None, error=capture(ValueError("no"))))
    assert {row.key: row.failed for row in store.cache.rows()} == {"good": False, "bad": True}


def test_a_flight_that_brought_its_artifact_is_over(store, run, ask):
    run("r1"), run("r2")
    put(store, artifact(), ask().flight)
    store.cache.discard(("k",), now=NOW)
    assert isinstance(ask(run="r2"), Granted)


def test_who_has_got_what_it_waited_for_is_not_thought_to_wait_for_it_when_it_is_computed_again(store, run, ask):
    run("r1"), run("r2")
    ask("k1", run="r1", path="a#1/one#1")
    two = ask("k2", run="r2", path="b#1/two#1")
    ask("k2", run="r1", path="a#1/one#1/two#1")
    put(store, artifact("k2"), two.flight, run="r2")
    store.cache.discard(("k2",), now=NOW)
    ask("k2", run="r2", path="b#1/two#2")
    assert isinstance(ask("k1", run="r2", path="b#1/two#2/one#1"), InFlight)


def test_a_circle_through_any_of_the_calls_around_is_found(run, ask):
    run("r1"), run("r2")
    ask("outer", run="r1", path="a#1/outer#1")
    ask("inner", run="r1", path="a#1/outer#1/inner#1")
    ask("k2", run="r2", path="b#1/two#1")
    assert isinstance(ask("outer", run="r2", path="b#1/two#1/outer#1"), InFlight)
    assert ask("k2", run="r1", path="a#1/outer#1/inner#1/two#1") == Circular()


def test_a_flight_of_a_run_without_a_lease_is_not_taken_for_one_of_its_first_lease(run, ask):
    run("r2")
    ask(run="r1")
    run("r1")
    assert isinstance(ask(run="r2"), Granted)


class TestMeanwhile:
    """What others do between the look at an artifact and the grant of a flight."""

    @pytest.fixture
    def meanwhile(self, store):
        """Give a hand that looks an artifact up while something happens: when it is asked for the lease of the run."""

        def look(happens):
            under = {"other": 1}

            def lease_of(run):
                if run == "r1":
                    happens()
                return under.get(run)

            cache = type(store.cache)(store.cache._db, lease_of)
            return cache.look_up("k", run="r1", path="a#1/f#1", now=NOW)

        return look

    def begin(self, store, run="other"):
        return type(store.cache)(store.cache._db, lambda _: 1).look_up("k", run=run, path="b#1/f#1", now=NOW)

    def test_what_was_put_is_found(self, store, meanwhile):
        assert meanwhile(lambda: put(store, artifact())) == Found(artifact())

    def test_who_was_granted_the_flight_keeps_it(self, store, meanwhile):
        assert meanwhile(lambda: self.begin(store)) == InFlight("other", "b#1/f#1")

    def test_a_flight_of_the_dead_that_somebody_has_ended_leaves_the_place_free(self, store, meanwhile):
        dead = self.begin(store, run="dead")
        assert isinstance(meanwhile(lambda: store.cache.land(dead.flight)), Granted)
