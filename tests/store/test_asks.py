"""Questions and signals, held to their promises in every store: decided once, by one, in one statement."""

from __future__ import annotations

import threading

import msgspec
import pytest

from regrow.errors import AskClosed, UnknownAsk
from regrow.journal.asks import Answer, NewAsk, Question, encode_question
from regrow.journal.store import NewRun

from .conftest import PLACES

RUN, OTHER = "0" * 25 + "1", "0" * 25 + "2"


@pytest.fixture(params=PLACES, ids=lambda place: place.name)
def place(request, tmp_path):
    one = request.param(tmp_path)
    yield one
    one.close()


@pytest.fixture
def store(place):
    opened = place.open()
    for run in (RUN, OTHER):
        opened.create(NewRun(run, "m:task", 1.0))
    return opened


def put_up(store, ask="a" * 16, run=RUN, **question):
    given = {
        "text": "May I?",
        "kind": "ask",
        "run": run,
        "path": "t#1/ask#1",
        "task": "t",
        "schema": {"type": "boolean"},
    }
    return store.asks.post(run, "default", NewAsk(ask, 10.0, encode_question(Question(**given | question))))


def says(who, verdict="yes", time=20.0, **more):
    return Answer(who, "test", time, b"true" if verdict == "yes" else b"false", verdict, **more)


def test_a_question_is_put_up_once_however_often_it_is_posted(store):
    first = put_up(store)
    assert put_up(store) == first
    assert store.asks.listed() == [first]
    assert first.question.text == "May I?"


def test_the_first_answer_decides_and_the_second_is_told_who_was_faster(store):
    ask = put_up(store)
    assert store.asks.look(RUN, ask.id, 15.0) is None
    assert store.asks.answer(ask.id, says("alice")).decided == "answered"
    with pytest.raises(AskClosed, match="alice answered it at 1970-01-01"):
        store.asks.answer(ask.id, says("bob", "no"))
    decided = store.asks.look(RUN, ask.id, 30.0)
    assert (decided.how, decided.time, [one.who for one in decided.answers]) == ("answered", 20.0, ["alice"])
    assert store.asks.listed() == []
    assert [one.id for one in store.asks.listed(everything=True)] == [ask.id]


def test_of_many_who_answer_at_once_exactly_one_wins(place, store):
    ask = put_up(store)
    stores = [place.open() for _ in range(4)]
    won, gate = [], threading.Barrier(8)

    def answer(number):
        gate.wait()
        try:
            stores[number % 4].asks.answer(ask.id, says(f"p{number}"))
        except AskClosed:
            return
        won.append(f"p{number}")

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert [one.who for one in store.asks.answers(ask.id)] == won


def test_several_people_must_say_yes_and_one_who_says_no_decides(store):
    ask = put_up(store, approvals=2)
    assert store.asks.answer(ask.id, says("alice")).decided is None
    with pytest.raises(AskClosed, match="alice has answered it already"):
        store.asks.answer(ask.id, says("alice"))
    assert store.asks.answer(ask.id, says("bob")).decided == "answered"
    other = put_up(store, "b" * 16, approvals=3)
    assert store.asks.answer(other.id, says("alice")).decided is None
    assert store.asks.answer(other.id, says("bob", "no")).decided == "answered"
    assert [one.verdict for one in store.asks.look(RUN, other.id, 30.0).answers] == ["yes", "no"]


def test_one_person_at_two_machines_is_one_person(store):
    ask = put_up(store, approvals=2)
    store.asks.answer(ask.id, says("alice@one"))
    with pytest.raises(AskClosed, match="alice has answered it already"):
        store.asks.answer(ask.id, says("alice"))
    with pytest.raises(AskClosed, match="alice@two has answered it already"):
        store.asks.answer(ask.id, says("alice@two"))
    assert store.asks.answer(ask.id, says("al@one")).decided == "answered"


def test_after_its_time_a_question_is_decided_by_that_and_by_nobody_else(store):
    ask = put_up(store, due=50.0)
    with pytest.raises(AskClosed, match="the time for an answer passed at 1970-01-01 00:00:50"):
        store.asks.answer(ask.id, says("late", time=50.0))
    assert store.asks.look(RUN, ask.id, 49.9) is None
    assert store.asks.look(RUN, ask.id, 50.0).how == "timed out"
    with pytest.raises(AskClosed, match="gone on without an answer"):
        store.asks.answer(ask.id, says("later", time=40.0))


def test_an_answer_in_time_counts_even_if_the_run_looks_after_that(store):
    ask = put_up(store, due=50.0)
    store.asks.answer(ask.id, says("alice", time=49.0))
    assert store.asks.look(RUN, ask.id, 1000.0).how == "answered"


def test_a_refused_answer_opens_the_question_again_also_for_the_same_person(store):
    ask = put_up(store)
    store.asks.answer(ask.id, says("alice"))
    store.asks.refuse(RUN, ask.id, 1, "not that")
    assert store.asks.look(RUN, ask.id, 30.0) is None
    store.asks.answer(ask.id, says("alice", "no"))
    assert [(one.number, one.refused) for one in store.asks.answers(ask.id)] == [(1, "not that"), (2, "")]
    assert [one.number for one in store.asks.look(RUN, ask.id, 30.0).answers] == [2]


def test_what_nobody_waits_for_is_closed_and_open_again_when_it_is_posted_again(store):
    ask = put_up(store)
    store.asks.withdraw(RUN, ask.id, 12.0)
    with pytest.raises(AskClosed, match="does not wait for it any more"):
        store.asks.answer(ask.id, says("alice"))
    put_up(store)
    assert store.asks.answer(ask.id, says("alice")).decided == "answered"
    store.asks.withdraw(RUN, ask.id, 13.0)
    assert store.asks.look(RUN, ask.id, 30.0).how == "answered"


def test_a_signed_callback_is_good_once(store):
    one, other = put_up(store), put_up(store, "b" * 16)
    store.asks.answer(one.id, says("alice", nonce="n" * 16))
    with pytest.raises(AskClosed, match="used before"):
        store.asks.answer(other.id, says("alice", nonce="n" * 16))
    assert store.asks.answers(other.id) == []


def test_no_run_sees_or_touches_what_another_has_asked(store):
    ask = put_up(store)
    with pytest.raises(UnknownAsk):
        store.asks.look(OTHER, ask.id, 1.0)
    store.asks.withdraw(OTHER, ask.id, 1.0)
    store.asks.refuse(OTHER, ask.id, 1, "x")
    assert store.asks.look(RUN, ask.id, 15.0) is None
    assert store.asks.listed(run=OTHER) == []


def test_a_run_that_waits_for_an_answer_says_so_and_its_questions_go_with_it(store):
    put_up(store)
    row = store.get(RUN)
    assert (row.status, row.waits_for) == ("waiting", "May I?")
    assert store.get(OTHER).status == "interrupted"
    store.signals.send(RUN, "go", b"1", "me", 1.0)
    store.delete(RUN)
    assert store.asks.listed(everything=True) == []
    assert store.signals.waiting(RUN) == []


def test_a_signal_is_taken_once_in_the_order_of_arrival_and_again_under_the_same_key(store):
    for number in (1, 2, 3):
        assert store.signals.send(RUN, "go" if number != 2 else "stop", b"%d" % number, "me", 1.0) == number
    store.signals.send(OTHER, "go", b"9", "me", 1.0)
    assert store.signals.take(RUN, "go", "k1").value == b"1"
    assert store.signals.take(RUN, "go", "k1").value == b"1"
    assert store.signals.take(RUN, "go", "k2").value == b"3"
    assert store.signals.take(RUN, "go", "k3") is None
    store.signals.give_back(RUN, "k1")
    assert store.signals.take(RUN, "go", "k3").value == b"1"
    assert [one.name for one in store.signals.waiting(RUN)] == ["stop"]


def awaited(store):
    row = store.get(RUN)
    return row.status, row.waits_for_signal


def test_a_run_whose_signal_has_not_come_says_which_it_waits_for(store):
    assert awaited(store) == ("interrupted", None)
    store.signals.expect(RUN, "go", "k1")
    store.signals.expect(RUN, "go", "k1")
    assert awaited(store) == ("waiting", "go")
    assert [row.status for row in store.runs()] == ["interrupted", "waiting"]
    assert store.signals.expected(RUN) == ["go"]
    store.signals.expect(RUN, "alarm", "k2")
    assert store.signals.expected(RUN) == ["alarm", "go"]
    assert awaited(store) == ("waiting", "alarm")
    assert store.signals.expected(OTHER) == []


def test_a_run_whose_signal_has_come_waits_for_it_no_more(store):
    store.signals.expect(RUN, "go", "k1")
    store.signals.send(RUN, "stop", b"1", "me", 1.0)
    assert awaited(store) == ("waiting", "go")
    store.signals.send(RUN, "go", b"1", "me", 1.0)
    assert awaited(store) == ("interrupted", None)
    store.signals.take(RUN, "go", "k1")
    assert (awaited(store), store.signals.expected(RUN)) == (("interrupted", None), [])


def test_a_wait_that_was_given_up_or_whose_run_is_driven_anew_or_gone_is_forgotten(store):
    store.signals.expect(RUN, "go", "k1")
    store.signals.give_back(RUN, "k1")
    assert awaited(store) == ("interrupted", None)
    store.signals.expect(RUN, "go", "k1")
    store.signals.expect(OTHER, "go", "k1")
    epoch = store.claim(RUN, store.register())
    store.release(RUN, epoch)
    assert awaited(store) == ("interrupted", None)
    assert store.get(OTHER).status == "waiting"
    store.delete(OTHER)
    assert store.signals.expected(OTHER) == []


def test_two_who_take_at_once_never_get_the_same_signal(place, store):
    for number in range(20):
        store.signals.send(RUN, "go", b"%d" % number, "me", 1.0)
    stores, taken = [place.open(), place.open()], []

    def take(own, name):
        taken.extend(own.signals.take(RUN, "go", f"{name}{index}").place for index in range(10))

    threads = [threading.Thread(target=take, args=(own, name)) for own, name in zip(stores, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 21))


def test_what_is_shown_is_what_is_hashed(store):
    ask = put_up(store)
    changed = msgspec.structs.replace(ask.question, text="May I not?")
    assert put_up(store, "c" * 16, text="May I not?").digest != ask.digest
    assert encode_question(changed) != ask.shown


def test_who_answers_twice_in_time_is_told_so_though_the_question_has_a_time_limit(store):
    ask = put_up(store, approvals=2, due=50.0)
    store.asks.answer(ask.id, says("alice"))
    with pytest.raises(AskClosed, match="alice has answered it already"):
        store.asks.answer(ask.id, says("alice", time=49.0))


def test_a_question_whose_answers_were_lost_is_closed_all_the_same(store):
    ask = put_up(store)
    store.asks.answer(ask.id, says("alice"))
    with store.asks._db.writing() as db:
        db.execute("DELETE FROM answers")
    with pytest.raises(AskClosed, match="it was answered at 1970-01-01 00:00:20"):
        store.asks.answer(ask.id, says("bob"))


def test_to_look_for_a_signal_that_has_not_come_leaves_the_wait_for_it(store):
    store.signals.expect(RUN, "go", "k1")
    assert store.signals.take(RUN, "go", "k1") is None
    assert awaited(store) == ("waiting", "go")


def test_how_often_people_were_told_of_a_question_only_grows(store):
    ask = put_up(store)
    assert ask.told == 0
    store.asks.note_told(RUN, ask.id, 2)
    store.asks.note_told(RUN, ask.id, 1)
    store.asks.note_told(OTHER, ask.id, 5)
    assert store.asks.get(ask.id).told == 2


def test_a_question_that_nobody_has_asked_is_unknown(store):
    with pytest.raises(UnknownAsk, match="there is no question"):
        store.asks.get("b" * 16)
