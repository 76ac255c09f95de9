from __future__ import annotations

import datetime as dt
import math
import sys
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.codec import decode, encode, registry
from regrow.codec.codes import MAX_DEPTH
from regrow.errors import Corrupted, NotStorable, UnreadableFormat, UsageError

pytestmark = pytest.mark.unit


def same(a, b):
    """Equal and of the same types all the way down, NaN included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, complex):
        return repr(a) == repr(b)
    if isinstance(a, Decimal) and a.is_nan():
        return repr(a) == repr(b)
    if isinstance(a, dt.datetime):
        return a == b and a.fold == b.fold and repr(a) == repr(b)
    return a == b


text = st.text(st.characters(codec=None), max_size=8)
zones = (
    st.none() | st.just(dt.UTC) | st.sampled_from([ZoneInfo("Europe/Berlin"), dt.timezone(dt.timedelta(hours=-3), "x")])
)
hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    text,
    st.binary(max_size=8),
    st.complex_numbers(allow_nan=False),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.dates(),
    st.timedeltas(),
    st.datetimes(timezones=zones),
    st.times(),
    st.builds(range, st.integers(), st.integers(), st.integers(min_value=1)),
    st.builds(PurePosixPath, text.filter(lambda s: "\0" not in s)),
)
leaves = hashable | st.floats() | st.binary().map(bytearray) | st.decimals() | st.complex_numbers()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(text, inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=4)
        | st.frozensets(hashable, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(values)
def test_values_come_back_equal_and_of_the_same_types(value):
    assert same(decode(encode(value)), value)
    assert same(decode(memoryview(encode(value))), value)


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1,
        2**64 - 1,
        2**64,
        -(2**63) - 1,
        [2**70, "\ud800"],
        {"\udcff": 1},
        {1: 2, None: 3, (1, "a"): 4},
        -0.0,
        dt.datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        dt.time(1, 2, tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")),
        Path("a/b"),
        PureWindowsPath("c:/x"),
        Decimal("-Infinity"),
        Fraction(1, 3),
        UUID(int=5),
        range(10**30),
    ],
    ids=repr,
)
def test_edges(value):
    back = decode(encode(value))
    assert same(back, value)
    assert type(back) is type(value)


def test_the_users_classes(shapes):
    s = shapes
    box = s.Derived(1, [s.Pair(s.Colour.RED)])
    assert box.doubled == 14  # a cached property is not part of the value
    model = s.Model(size=1, inner=s.Point(1, (2,)), other={"free": 1})
    model._note = "changed"
    for value in (
        s.Colour.BLUE,
        s.Level.LOW,
        s.Rights.READ,
        s.Rights.READ | s.Rights.RUN,
        s.Rights(0),
        s.Point(1, {"a": {3}}),
        s.Slotted("n", ("a",)),
        box,
        s.Pair(1, [2]),
        s.Plain(1, (2,)),
        s.Frozen(a=1, c="x"),
        model,
        s.Name("n"),
        {s.Slotted("key"): 1},
    ):
        back = decode(encode(value))
        assert back == value
        assert type(back) is type(value)
    back = decode(encode(model))
    assert back._note == "changed"
    assert back.model_extra == {"other": {"free": 1}}
    assert back.model_fields_set == model.model_fields_set


@pytest.mark.promise("P9")
def test_a_struct_is_made_without_its_post_init(shapes):
    value = shapes.Checked(1)
    assert value.calls == ["post_init"]
    back = decode(encode(value))
    assert type(back) is shapes.Checked
    assert back.calls == ["post_init"]


def test_a_class_may_gain_and_lose_fields(shapes, monkeypatch):
    old = msgspec.msgpack.Encoder()

    def stored(state):
        return b"\x01" + old.encode(msgspec.msgpack.Ext(41, old.encode(["codec_shapes:Point", state])))

    assert decode(stored({"x": 1, "gone": 2})) == shapes.Point(1, None)
    with pytest.raises(Corrupted, match="has no field 'x': give the field a default"):
        decode(stored({"y": 1}))


def test_references_to_regrows_own_objects(monkeypatch):
    class Task:
        __regrow_ref__ = "m:task"

    task = Task()
    data = encode([task])
    with pytest.raises(UsageError, match="refers to m:task"):
        decode(data)
    monkeypatch.setitem(registry.references, "m:task", task)
    assert decode(data) == [task]
    assert decode(data)[0] is task


class Unknown:
    pass


@pytest.mark.parametrize(
    ("make", "where", "reason"),
    [
        (lambda s: s.Point({"k": [0, Unknown()]}), r"result\.x\['k'\]\[1\]", "no durable form; make it a dataclass"),
        (lambda s: {1: sys}, r"result\[1\]", "a module has no durable form"),
        (lambda s: [(1, lambda: 1)], r"result\[0\]\[1\]", "hand on its name"),
        (lambda s: (i for i in ()), "result", "turn it into a list"),
        (lambda s: type("D", (dict,), {})(), "result", "turn it into a plain dict"),
        (lambda s: s.Model(size=1, inner=s.Point(Unknown())), r"result\.inner\.x", "no durable form"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_path(shapes, make, where, reason):
    with pytest.raises(NotStorable, match=reason) as caught:
        encode(make(shapes))
    assert __import__("re").fullmatch(where, caught.value.where)


def test_an_unlisted_class_says_what_to_do(shapes):
    import dataclasses

    @dataclasses.dataclass
    class Local:
        a: int

    with pytest.raises(NotStorable, match=r"annotate the step with it or call regrow\.storable\(Local\)"):
        encode(Local(1))
    registry.allow(Local)
    assert decode(encode(Local(1))) == Local(1)


def test_attributes_beside_the_fields_are_not_lost_silently(shapes):
    point = shapes.Point(1)
    point.cache = {}
    with pytest.raises(NotStorable, match="the attribute 'cache' beside its fields"):
        encode(point)


def test_cycles_and_depth():
    loop: list = []
    loop.append({"again": loop})
    with pytest.raises(NotStorable, match="contains itself"):
        encode(loop)
    for wrap in (lambda v: [v], lambda v: (v,), lambda v: {1: v}):
        value = 1
        for _ in range(MAX_DEPTH):
            value = wrap(value)
        assert decode(encode(value)) == value
        with pytest.raises(NotStorable):
            encode(wrap(value))


def test_formats():
    with pytest.raises(UnreadableFormat):
        decode(b"\x02\x01")
    with pytest.raises(Corrupted):
        decode(b"")
    with pytest.raises(UnreadableFormat, match="kind 33"):
        decode(b"\x01\xd4\x21\x00")


nasty = st.binary(max_size=60)


@pytest.mark.promise("P9")
@settings(max_examples=1500, deadline=None)
@given(nasty)
def test_random_bytes_raise_only_regrows_errors(data):
    for candidate in (data, b"\x01" + data, b"\x01\xc7" + bytes([max(0, len(data) - 1)]) + data):
        with suppress(Corrupted, UnreadableFormat, UsageError):
            decode(candidate)


@settings(max_examples=800, deadline=None)
@given(values, st.data())
def test_damaged_bytes_raise_only_regrows_errors(value, data):
    encoded = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(encoded)))
    for candidate in (bytes(encoded), bytes(encoded[:cut])):
        with suppress(Corrupted, UnreadableFormat, UsageError):
            decode(candidate)


def test_depth_in_hostile_bytes_is_bounded():
    data = b"\x91" * 200_000 + b"\x01"
    with pytest.raises((Corrupted, UsageError)):
        decode(b"\x01" + data)
    inner = b"\x01"
    for _ in range(2000):
        inner = msgspec.msgpack.encode(msgspec.msgpack.Ext(1, b"\x91" + inner))
    with pytest.raises((Corrupted, UsageError)):
        decode(b"\x01" + inner)
