from __future__ import annotations

import sys
from pathlib import Path

import pytest

from regrow.codec import capture, decode, encode, rebuild
from regrow.errors import ForeignError, OutcomeUnknown, TimedOut
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
