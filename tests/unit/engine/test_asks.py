"""How a call asks: what it records and puts up, how it reads what was decided, and when it reminds."""

from __future__ import annotations

import types

import msgspec
import pytest

from regrow.codec import decode, encode
from regrow.engine.asks import Wanted, _Asking, invocation_of
from regrow.engine.branches import Branch
from regrow.engine.state import CallState
from regrow.engine.vault import Kept
from regrow.engine.webhook import Hook
from regrow.errors import Denied, NoAnswer, NotStorable, UnfitAnswer
from regrow.journal.asks import Answer, Decided, Exhibit, Question, digest_of
from regrow.journal.memory import MemoryStore
from regrow.journal.records import Answered, Asked, BlobRef, Call, Said
from regrow.values.ids import ask_id

pytestmark = pytest.mark.unit

CALL = Call("task#1/ask#1", "ask", 1, b"\x01\x02")
HOOK = Hook(url="http://here")


class Desk:
    """Where questions are put up: says what it is told to say, and notes what it is asked."""

    def __init__(self):
        self.said = []
        self.posted = []
        self.looked = []
        self.refused = []
        self.reminded = []
        self.withdrawn = []
        self.told = 0

    def post(self, run, ask, hook):
        self.posted.append((run, ask, hook))
        return types.SimpleNamespace(told=self.told)

    def look(self, run, ask, now):
        self.looked.append((run, ask, now))
        return self.said.pop(0) if self.said else None

    def refuse(self, *what):
        self.refused.append(what)

    def remind(self, *what):
        self.reminded.append(what)

    def withdraw(self, *what):
        self.withdrawn.append(what)


class Driver:
    """What a question needs of the driver of its run."""

    run = "run-1"

    def __init__(self):
        self.time = 100.0
        self.desk = Desk()
        self.around = types.SimpleNamespace(asks=self.desk)
        self.vault = types.SimpleNamespace(blobs=MemoryStore().blobs)
        self.recorded = []
        self.events = []
        self.kept = []

    def now(self):
        return self.time

    def record(self, event, loop, blobs=()):
        self.recorded.append((event, loop, blobs))
        return "ticket"

    def hand_in(self, event):
        self.events.append(event)

    def keep(self, value, what):
        self.kept.append(what)
        if isinstance(value, types.SimpleNamespace):
            raise NotStorable("value", "is none")
        return Kept(encode(value), ("blob-of-evidence",) if what == "evidence" else ())


@pytest.fixture
def driver():
    return Driver()


def asking(driver, known=None, attempt=1, call=CALL, **wanted):
    """A question that has been put up."""
    wanted = Wanted(**({"text": "How many?", "type_": int, "schema": {"type": "integer"}, "hook": HOOK} | wanted))
    scope = types.SimpleNamespace(driver=driver, task="task#1")
    invocation = types.SimpleNamespace(branch=types.SimpleNamespace(scope=scope))
    made = _Asking(invocation, wanted)
    tickets = list(made.begin(call, known, attempt, "loop"))
    assert len(tickets) == len(driver.recorded)
    return made


def asked_in(driver):
    ((event, _, _),) = driver.recorded
    return event


def answered(value, *, who="ann", number=1, why=""):
    answer = Answer(who, "local user", 150.0, msgspec.json.encode(value), "value", why, number)
    return Decided("answered", 200.0, (answer,))


def said(value, number=1, why=""):
    return Said("ann", "local user", 150.0, "value", why, number, msgspec.json.encode(value))


# Putting it up


def test_what_is_recorded_and_put_up_is_all_that_people_are_shown(driver):
    asking(
        driver, exhibits=(Exhibit("title", "text"),), evidence={"a": 1}, choices=("1", "2"), to=("ann",), approvals=2,
        timeout=50.0, default_json="3", remind=10.0,
    )  # fmt: skip
    ((event, loop, blobs),) = driver.recorded
    name = ask_id("run-1", CALL.path, CALL.digest, 1)
    assert msgspec.json.decode(event.shown, type=Question) == Question(
        text="How many?", kind="ask", run="run-1", path=CALL.path, task="task#1", schema={"type": "integer"},
        evidence=(Exhibit("title", "text"),), inputs="0102", choices=("1", "2"), to=("ann",), approvals=2, due=150.0,
        default="3",
    )  # fmt: skip
    shown = event.shown
    assert event == Asked(CALL, 1, name, shown, digest_of(shown), 150.0, 10.0, encode({"a": 1}), "How many?")
    assert (loop, blobs, driver.kept) == ("loop", ("blob-of-evidence",), ["evidence"])
    ((run, new, hook),) = driver.desk.posted
    assert (run, new.id, new.asked, new.shown, new.remind, hook) == ("run-1", name, 100.0, shown, 10.0, HOOK)


def test_without_evidence_none_is_kept_and_without_a_timeout_nothing_is_due(driver):
    asking(driver)
    event = asked_in(driver)
    assert (event.evidence, event.due, event.remind, driver.kept) == (b"", None, None, [])


def test_a_title_is_the_beginning_of_the_question(driver):
    asking(driver, text="x" * 201)
    assert asked_in(driver).question == "x" * 200


def test_a_question_of_an_earlier_life_is_put_up_as_it_was_and_not_recorded_again(driver):
    asking(driver, remind=10.0)
    known = CallState(CALL, 1, asked=asked_in(driver), begun_at=40.0)
    later = Driver()
    again = asking(later, known, remind=10.0)
    assert later.recorded == []
    ((_, new, _),) = later.desk.posted
    assert (new.asked, new.shown) == (40.0, asked_in(driver).shown)
    assert again.look() is None
    assert [number for _, _, number, _ in later.desk.reminded] == [7]


@pytest.mark.parametrize("change", ["attempt", "run", "digest"])
def test_a_question_of_another_attempt_or_run_or_with_other_inputs_is_asked_anew(driver, change):
    asking(driver)
    known = CallState(CALL, 1, asked=asked_in(driver), begun_at=40.0)
    later = Driver()
    if change == "run":
        later.run = "run-2"
    call = msgspec.structs.replace(CALL, digest=b"other") if change == "digest" else CALL
    asking(later, known, attempt=2 if change == "attempt" else 1, call=call)
    assert asked_in(later).ask != asked_in(driver).ask
    assert later.desk.posted[0][1].asked == 100.0


def length_without_text(driver):
    asking(driver, text="")
    return len(asked_in(driver).shown)


def test_what_is_long_is_put_beside_the_record_and_up_all_the_same(driver):
    text = "x" * (16 * 1024 - length_without_text(Driver()))
    asking(driver, text=text)
    assert len(asked_in(driver).shown) == 16 * 1024
    longer = Driver()
    asking(longer, text=f"{text}x", evidence=1)
    event = asked_in(longer)
    shown = longer.desk.posted[0][1].shown
    assert event.shown == BlobRef(event.shown.digest, 16 * 1024 + 1)
    assert longer.vault.blobs.get(event.shown.digest) == shown
    assert longer.recorded[0][2] == (event.shown.digest, "blob-of-evidence")
    assert event.digest == digest_of(shown)


def test_evidence_without_a_durable_form_is_refused_unless_an_approval_shows_it_as_text(driver):
    with pytest.raises(NotStorable):
        asking(driver, evidence=types.SimpleNamespace())
    asking(driver, evidence=types.SimpleNamespace(), kind="approval")
    assert asked_in(driver).evidence == b""


# Looking


def test_before_it_is_put_up_there_is_nothing_to_look_at_or_give_up(driver):
    scope = types.SimpleNamespace(driver=driver, task="task#1")
    made = _Asking(types.SimpleNamespace(branch=types.SimpleNamespace(scope=scope)), Wanted("?", int, {}))
    assert made.look() is None
    made.give_up()
    assert (driver.desk.looked, driver.desk.withdrawn) == ([], [])


def test_it_looks_for_its_own_answer_by_the_drivers_clock(driver):
    question = asking(driver)
    driver.time = 123.0
    assert question.look() is None
    assert driver.desk.looked == [("run-1", asked_in(driver).ask, 123.0)]


def test_an_answer_is_given_with_who_said_it(driver):
    question = asking(driver)
    driver.desk.said = [answered(3, why="so")]
    found = question.look()
    event = asked_in(driver)
    assert found.event == Answered(CALL.path, event.ask, event.digest, "answered", (said(3, why="so"),))
    assert (found.value, decode(found.kept.value), found.error) == (3, 3, None)


def test_an_answer_that_is_long_stands_in_the_result_alone(driver):
    question = asking(driver, type_=str)
    for length, is_kept in ((4096, True), (4097, False)):
        text = "x" * (length - 2)
        driver.desk.said = [answered(text)]
        found = question.look()
        assert found.value == text
        assert found.event.said[0].value == (msgspec.json.encode(text) if is_kept else b"")


def test_all_who_agreed_are_named_and_the_last_one_decides(driver):
    question = asking(driver, type_=bool, kind="approval", about="task#1/pay#1")
    first, last = answered(value=True).answers[0], answered(value=False, who="bob", number=2, why="no").answers[0]
    driver.desk.said = [Decided("answered", 200.0, (first, last))]
    found = question.look()
    assert [one.who for one in found.event.said] == ["ann", "bob"]
    assert isinstance(found.error, Denied)
    assert (found.error.path, found.error.who, found.error.why) == ("task#1/pay#1", "bob", "no")


def test_an_approval_that_is_given_is_true(driver):
    question = asking(driver, type_=bool, kind="approval")
    driver.desk.said = [answered(value=True)]
    found = question.look()
    assert (found.value, found.error) == (True, None)


def test_no_to_a_question_that_is_no_approval_is_an_answer(driver):
    question = asking(driver, type_=bool)
    driver.desk.said = [answered(value=False)]
    found = question.look()
    assert (found.value, found.error) == (False, None)


def test_an_answer_that_does_not_fit_is_refused_recorded_and_looked_past(driver):
    question = asking(driver)
    driver.desk.said = [answered("three", number=1), answered(3, number=2)]
    found = question.look()
    event = asked_in(driver)
    (refused,) = driver.events
    assert (refused.how, refused.said, refused.ask) == ("refused", (said("three"),), event.ask)
    assert "expected `int`" in refused.reason
    assert driver.desk.refused == [("run-1", event.ask, 1, refused.reason)]
    assert (found.value, found.event.how, found.event.said) == (3, "answered", (said(3, number=2),))


def test_of_several_answers_only_the_last_one_is_refused(driver):
    question = asking(driver)
    first, last = answered(1).answers[0], answered("two", number=2).answers[0]
    driver.desk.said = [Decided("answered", 200.0, (first, last))]
    assert question.look() is None
    assert driver.events[0].said == (said("two", number=2),)


def test_what_is_given_is_kept_under_the_name_of_what_it_is(driver):
    question = asking(driver, default=7)
    driver.desk.said = [answered(3), Decided("timed out", 200.0)]
    question.look()
    question.look()
    assert driver.kept == ["answer", "default"]


def test_an_answer_that_is_none_of_the_choices_is_refused_with_all_of_them(driver):
    question = asking(driver, type_=str, choices=("red", "blue"))
    driver.desk.said = [answered("green"), answered("blue")]
    assert question.look().value == "blue"
    (refused,) = driver.events
    assert "it must be one of red, blue; it is 'green'" in refused.reason


def test_an_answer_can_be_read_in_a_way_of_its_own(driver):
    def read(data):
        if data == b"1":
            raise UnfitAnswer("", "answer", "too few")
        return f"read {data.decode()}"

    question = asking(driver, read=read)
    driver.desk.said = [answered(1), answered(2)]
    assert question.look().value == "read 2"
    assert driver.events[0].reason.endswith("too few")


# Time


@pytest.mark.parametrize("how", ["timed out", "withdrawn"])
def test_what_nobody_answers_gets_its_default(driver, how):
    question = asking(driver, timeout=5.0, default=7)
    driver.desk.said = [Decided(how, 200.0)]
    found = question.look()
    assert (found.event.how, found.event.said, found.value, found.error) == ("timed out", (), 7, None)
    assert decode(found.kept.value) == 7


def test_without_a_default_it_is_an_error_that_tells_how_long_it_was(driver):
    question = asking(driver, timeout=5.0)
    driver.desk.said = [Decided("timed out", 200.0)]
    found = question.look()
    assert isinstance(found.error, NoAnswer)
    assert (found.error.path, found.error.limit) == (CALL.path, 5.0)


def test_what_was_withdrawn_without_a_limit_names_none(driver):
    question = asking(driver)
    driver.desk.said = [Decided("withdrawn", 200.0)]
    assert question.look().error.limit is None


@pytest.mark.parametrize("default", [False, msgspec.UNSET])
def test_an_approval_that_nobody_gives_is_denied_by_nobody(driver, default):
    question = asking(driver, kind="approval", timeout=5.0, default=default, about="task#1/pay#1")
    driver.desk.said = [Decided("timed out", 200.0)]
    found = question.look()
    assert isinstance(found.error, Denied)
    assert (found.error.path, found.error.who, found.error.why) == ("task#1/pay#1", "", "")


def test_an_approval_may_be_given_by_the_time_that_passes(driver):
    question = asking(driver, kind="approval", timeout=5.0, default=True)
    driver.desk.said = [Decided("timed out", 200.0)]
    found = question.look()
    assert (found.value, found.error) == (True, None)


def test_a_reminder_goes_out_at_each_interval_once_and_those_that_were_missed_are_one(driver):
    question = asking(driver, remind=10.0)
    numbers = []
    for time in (100.0, 109.9, 110.0, 115.0, 120.0, 155.0):
        driver.time = time
        question.look()
        numbers.append([number for _, _, number, _ in driver.desk.reminded])
    assert numbers == [[], [], [2], [2], [2, 3], [2, 3, 6]]
    assert driver.desk.reminded[0] == ("run-1", asked_in(driver).ask, 2, HOOK)


def test_what_was_told_in_an_earlier_life_is_not_told_again(driver):
    driver.desk.told = 3
    question = asking(driver, remind=10.0)
    for driver.time in (120.0, 130.0):
        question.look()
    assert [number for _, _, number, _ in driver.desk.reminded] == [4]


def test_without_an_interval_nobody_is_reminded(driver):
    question = asking(driver)
    driver.time = 1e9
    question.look()
    assert driver.desk.reminded == []


def test_what_the_code_gives_up_on_is_withdrawn(driver):
    question = asking(driver)
    driver.time = 120.0
    question.give_up()
    assert driver.desk.withdrawn == [("run-1", asked_in(driver).ask, 120.0)]


# As a call


def test_all_that_makes_an_answer_one_to_this_question_is_an_input_of_the_call():
    wanted = Wanted("?", int, {"type": "integer"}, choices=("1",), evidence={"a": 1}, to=("ann",), approvals=2)
    branch = Branch(types.SimpleNamespace(), "task#1")
    invocation = invocation_of(wanted, branch)
    assert invocation.callee.inputs(invocation.args, invocation.kwargs) == {
        "question": "?", "schema": {"type": "integer"}, "choices": ("1",), "evidence": {"a": 1}, "to": ("ann",),
        "approvals": 2,
    }  # fmt: skip
    assert (invocation.callee.name, invocation.callee.kind, invocation.branch) == ("ask", "ask", branch)


def test_a_question_may_be_a_call_of_another_name_and_is_a_question_still():
    callee = invocation_of(Wanted("?", int, {}), Branch(types.SimpleNamespace(), "task#1"), "approval").callee
    assert (callee.name, callee.kind) == ("approval", "ask")


def test_an_ordinary_question_is_about_no_call_and_needs_one_answer():
    wanted = Wanted("?", int, {})
    assert (wanted.about, wanted.approvals, wanted.kind, wanted.to, wanted.choices) == ("", 1, "ask", (), ())
    assert (wanted.timeout, wanted.remind, wanted.default, wanted.read) == (None, None, msgspec.UNSET, None)
