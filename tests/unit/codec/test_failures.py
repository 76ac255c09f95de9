from __future__ import annotations

import http
import sys
from pathlib import Path

import httpx
import msgspec
import pytest

import regrow
from regrow.codec import ErrorRecord, capture, decode, encode, failures, rebuild
from regrow.codec.error_record import DEEPEST, NetworkView
from regrow.codec.frames import is_own
from regrow.errors import ForeignError, OutcomeUnknown, RateLimited, TimedOut
from regrow.examples import best_model
from regrow.values.secret import Secret

pytestmark = pytest.mark.unit


def again(exc):
    return decode(encode(exc))


def raised(exc, cause=None):
    try:
        raise exc from cause
    except BaseException as caught:
        return caught


def missing_file():
    with pytest.raises(FileNotFoundError) as caught:
        Path("/nowhere/at/all").read_bytes()
    return caught.value


def undecodable():
    with pytest.raises(UnicodeDecodeError) as caught:
        b"ab\xff".decode()
    return caught.value


def bad_syntax():
    with pytest.raises(SyntaxError) as caught:
        compile("a = = 1", "f.py", "exec")
    return caught.value


def no_module():
    with pytest.raises(ImportError) as caught:
        __import__("no_such_module_here")
    return caught.value


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (lambda: KeyError("k"), ("args",)),
        (missing_file, ("errno", "strerror", "filename")),
        (undecodable, ("encoding", "object", "start", "end", "reason")),
        (bad_syntax, ("msg", "filename", "lineno", "offset", "text")),
        (no_module, ("name", "msg")),
        (lambda: StopIteration(3), ("value",)),
        (lambda: SystemExit(2), ("code",)),
        (lambda: TimedOut("a.b", 3.0, "timeout"), ("path", "limit", "scope", "layer")),
        (lambda: OutcomeUnknown("p", "k"), ("path", "idempotency_key")),
        (lambda: ValueError(1, {"a": (2,)}), ("args",)),
    ],
)
def test_builtin_and_own_exceptions_survive(make, fields):
    exc = make()
    back = again(exc)
    assert type(back) is type(exc)
    assert str(back) == str(exc)
    assert back.args == exc.args
    for field in fields:
        assert getattr(back, field) == getattr(exc, field)


def test_the_users_exceptions_survive_without_their_init(shapes, monkeypatch):
    exc = shapes.AppError(3, detail="d")
    exc.add_note("note")
    data = encode(raised(exc, KeyError("why")))
    monkeypatch.setattr(shapes.AppError, "__init__", lambda *_: pytest.fail("called"))
    back = decode(data)
    assert (type(back), str(back), back.code, back.detail) == (shapes.AppError, "3: d", 3, "d")
    assert back.__notes__ == ["note"]
    assert back.__cause__.args == ("why",)
    assert back.__suppress_context__
    assert capture(back).layer == "semantic"


def test_odd_layouts(shapes):
    slotted = shapes.SlotError("a")
    slotted.extra = 3
    assert again(slotted).extra == 3
    assert type(again(shapes.Tricky(2, "x"))) is shapes.Tricky
    group = again(shapes.AppGroup("many", [ValueError(1), shapes.AppGroup("in", [KeyError("k")])]))
    assert type(group) is shapes.AppGroup
    assert (group.message, [type(e) for e in group.exceptions]) == ("many", [ValueError, shapes.AppGroup])
    assert group.split(KeyError)[0].exceptions[0].exceptions[0].args == ("k",)


def test_a_class_that_is_not_loaded(shapes, monkeypatch):
    exc = type("Gone", (Exception,), {"__module__": "not.here"})("text")
    exc.add_note("kept")
    back = again(exc)
    assert type(back) is ForeignError
    assert (back.type_name, back.text, back.__notes__) == ("not.here:Gone", "text", ["kept"])
    assert capture(back) == capture(exc)  # it stays what it was on its way through here


def test_secrets_and_live_objects_are_kept_out():
    secret = Secret("hunter22")
    exc = ValueError("login hunter22 failed", ["hunter22"], sys)
    exc.token = "hunter22"
    exc.handle = object()
    exc.add_note("hunter22")
    data = encode(exc)
    assert b"hunter22" not in data
    back = decode(data)
    assert back.args[0] == "login [secret] failed"
    assert back.token == "[secret]"
    assert back.handle.startswith("<object object")
    assert secret


def test_hostile_exceptions_can_be_captured():
    class Bad(Exception):
        def __str__(self):
            raise RuntimeError

        __repr__ = __str__

        @property
        def layer(self):
            raise RuntimeError

    exc = Bad(Bad())
    exc.me = exc
    assert "cannot be shown" in capture(exc).message
    exc.args = (exc,)
    capture(exc)
    chain = first = ValueError(0)
    for i in range(100):
        chain.__cause__ = ValueError(i)
        chain.__context__ = KeyError(i)
        chain = chain.__cause__
    chain.__cause__ = first
    record = capture(first)
    depth = 0
    while record:
        record, depth = record.cause, depth + 1
    assert depth <= 18
    assert len(capture(ExceptionGroup("g", [ValueError(i) for i in range(1000)])).members) == 1000


def test_frames_are_bounded_and_the_users_own_is_shown():
    def down(n):
        return down(n - 1) if n else 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        down(300)
    record = capture(caught.value)
    assert len(record.frames) == 60
    assert record.frames[-1].own
    assert "1 / 0" in record.frames[-1].code
    shown = capture(raised(ValueError("top\nmore"), caught.value)).render(indent=2)
    assert shown.splitlines()[0] == "  ValueError: top"
    assert "  caused by ZeroDivisionError: division by zero" in shown
    assert "1 / 0" in shown
    assert capture(rebuild(record)).frames == record.frames


def test_the_examples_are_a_users_code_and_the_rest_of_regrow_is_not():
    assert is_own(best_model.__file__)
    assert not is_own(failures.__file__)
    beside = f"{Path(regrow.__file__).parent}-agents/mine.py"
    assert is_own(beside)


def test_an_error_from_elsewhere_makes_no_record_deeper_than_any_other():
    error = ValueError("the first")
    for _ in range(3):
        for _ in range(DEEPEST + 3):
            error = raised(ValueError("m"), error)
        error = rebuild(msgspec.structs.replace(capture(error), type="elsewhere:Error"))
        assert type(error) is ForeignError
    assert capture(raised(ValueError("last"), error)).depth() == DEEPEST


def refused(status=429, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = httpx.Response(status, headers=names, request=httpx.Request("GET", "http://service.test"))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        answer.raise_for_status()
    return caught.value


def test_what_an_error_says_of_the_network_is_recorded_and_stays_on_every_journey():
    record = capture(refused(Retry_After="2"))
    assert record.layer == "network"
    assert record.network == NetworkView("rate-limited", 429, 2.0, "it carries HTTP status 429")
    back = again(again(refused(Retry_After="2")))
    assert not hasattr(back.response, "headers")
    assert (capture(back).network, capture(back).layer) == (record.network, "network")


def test_an_error_that_is_not_about_the_network_says_nothing_of_it():
    assert capture(ValueError("429")).network is None
    assert capture(TimedOut("a.b", 3.0, "timeout")).network is None
    assert b"network" not in encode(ValueError("429"))


def test_a_record_of_an_older_regrow_is_read():
    fields = msgspec.to_builtins(capture(refused()))
    del fields["network"]
    assert msgspec.convert(fields, ErrorRecord).network is None


def test_a_message_made_of_what_could_not_be_stored_is_not_lost_on_a_second_journey(shapes, monkeypatch):
    monkeypatch.setattr(shapes.AppError, "__str__", lambda error: f"{error.handle.name} is full", raising=False)
    error = shapes.AppError(3, detail="d")
    error.handle = sys.__stdout__
    assert capture(again(error)).message == capture(error).message == "<stdout> is full"


def test_what_a_class_itself_says_of_its_layer_goes_before_what_it_looks_like(shapes):
    error = shapes.AppError(3, detail="d")
    error.retry_after = 5
    record = capture(error)
    assert (record.layer, record.network.retry_after) == ("semantic", 5.0)


def test_a_moment_without_the_servers_own_time_is_read_when_the_error_is_captured(monkeypatch):
    monkeypatch.setattr(failures.time, "time", lambda: 784123200.0)  # the noon of that day
    back = again(refused(Retry_After="Sun, 06 Nov 1994 12:00:30 GMT"))
    monkeypatch.undo()
    assert capture(back).network.retry_after == 30.0


def test_a_group_says_of_the_network_what_all_of_its_members_say():
    group = ExceptionGroup("many", [refused(Retry_After="2"), refused(Retry_After="7")])
    assert capture(group).network.retry_after == 7.0
    assert capture(group).layer == "network"
    assert capture(ExceptionGroup("many", [refused(), KeyError("k")])).network is None


@pytest.mark.parametrize("status", [2**70, -1, True, "429", http.HTTPStatus.TOO_MANY_REQUESTS])
@pytest.mark.parametrize("wait", [10**400, 2**70, float("nan"), "1e999", object()])
def test_odd_figures_on_an_error_do_not_make_it_unstorable(status, wait):
    error = refused()
    error.retry_after = wait
    error.response = type("Answer", (), {"status_code": status, "headers": {"retry-after": "9" * 400}})()
    network = capture(again(error)).network
    assert network is None or (network.status in (None, 429) and network.retry_after in (None, float(2**70)))
    capture(again(RateLimited("later", status=status, retry_after=wait)))


def test_errors_whose_attributes_fail_or_go_round_are_recorded_as_not_about_the_network():
    class Hostile(Exception):
        def __getattr__(self, name):
            raise RuntimeError(name)

    class Wrapper(Exception):
        __module__ = "urllib3.exceptions"

    Wrapper.__name__ = "MaxRetryError"
    round_and_round = Wrapper()
    round_and_round.reason = round_and_round
    assert capture(Hostile()).network is None
    assert capture(round_and_round).network is None
