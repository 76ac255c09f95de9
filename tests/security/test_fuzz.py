"""Whatever bytes a reader of regrow's is given: an answer or a documented error, nothing run, and little memory.

`fuzz_decoder.py` does the same for as long as one likes, guided by coverage. REGROW_FUZZ_EXAMPLES=20000 tries more
here. An example that fails is named by its seed: `hostile(reader, seed)` gives its bytes.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.codec import decode, encode, rebuild
from regrow.codec.codes import Code
from regrow.codec.error_record import ErrorRecord
from regrow.errors import Corrupted, ForeignError, RegrowError, UsageError
from regrow.insight.preview import preview, preview_inputs
from regrow.journal.chain import seal
from regrow.journal.records import Record, RunEnded

from . import hostile_bytes
from .hostile_bytes import READERS, SEEDS, hostile
from .traps import TrapData, TrapFrozen, models, watched

pytestmark = pytest.mark.promise("P9")

EXAMPLES = int(os.environ.get("REGROW_FUZZ_EXAMPLES") or 250)
readers = pytest.mark.parametrize("name", READERS)


def read(name, data):
    """Let a reader read, and give what it ran that it must not; an error that is not documented comes out as it is."""
    with watched() as ran, suppress(*READERS[name].refusals):
        READERS[name].read(data)
    return ran


def ext(code, content):
    return b"\x01" + msgspec.msgpack.encode(msgspec.msgpack.Ext(int(code), content))


def stored(value):
    """Give the extension that an encoded value consists of."""
    return msgspec.msgpack.decode(encode(value)[1:])


def packed(content):
    return msgspec.msgpack.encode(content)


# -- whatever comes ----------------------------------------------------------------------------------------------------


@readers
@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_encodings_that_were_tampered_with_are_read_or_refused_and_run_nothing(name, seed):
    assert read(name, hostile(name, seed)) == []


@readers
@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(data=st.binary(max_size=80))
def test_arbitrary_bytes_are_read_or_refused_and_run_nothing(name, data):
    for candidate in (data, b"\x01" + data, len(data).to_bytes(4, "little") + data):
        assert read(name, candidate) == []


@readers
def test_every_beginning_of_an_encoding_is_read_or_refused(name):
    for seed in SEEDS[name]:
        for end in range(0, len(seed), max(1, len(seed) // 60)):
            assert read(name, seed[:end]) == []


def test_what_is_tried_reaches_far_enough_to_be_accepted_and_to_be_refused_in_every_way():
    seen = Counter()
    for name, reader in READERS.items():
        for seed in range(300):
            try:
                reader.read(hostile(name, seed))
            except (RegrowError, msgspec.DecodeError) as refusal:
                seen[name, type(refusal)] += 1
            except (UnicodeDecodeError, RecursionError, AttributeError):
                continue
            else:
                seen[name, "read"] += 1
    for name, reader in READERS.items():
        assert seen[name, "read"] >= 5, f"{name}: hardly anything gets through"
        if reader.refusals:
            assert sum(seen[name, kind] for kind in (*reader.refusals, msgspec.ValidationError)) >= 5, name
    assert {kind for name, kind in seen if name == "value"} >= {"read", Corrupted, UsageError}


# -- what it costs -----------------------------------------------------------------------------------------------------

_BASE_BYTES = 256 * 1024
_BYTES_EACH = 1000
"""What one byte of an encoding may become: an empty exception is some 20 bytes, and a few KiB when it is made."""
_BASE_CALLS = 2_000
_CALLS_EACH = 40


def weight(reader, data):
    """Give the most memory that reading took, in bytes."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with suppress(Exception):  # which one it may be is for the tests above
        reader.read(data)
    return tracemalloc.get_traced_memory()[1] - before


def calls(reader, data):
    """Count the functions that reading calls, Python's and C's."""
    count = 0

    def profile(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        with suppress(Exception):
            reader.read(data)
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@readers
@pytest.mark.usefixtures("traced")
def test_a_length_that_is_a_lie_is_not_believed(name):
    """Headers that announce gigabytes, at any place of any encoding."""
    dice = random.Random(7)
    for whole in SEEDS[name]:
        for bomb in hostile_bytes._BOMBS:
            for at in (0, 1, *(dice.randrange(len(whole) + 1) for _ in range(6))):
                data = whole[:at] + bomb + whole[at:]
                assert weight(READERS[name], data) < _BASE_BYTES + _BYTES_EACH * len(data), data


def test_a_frame_whose_length_is_a_lie_is_refused_before_it_is_read():
    with pytest.raises(msgspec.DecodeError, match="a frame of 4294967295 bytes"):
        READERS["channel"].read(b"\xff\xff\xff\xff" + b"\x81")


@pytest.mark.usefixtures("traced")
@pytest.mark.control
def test_the_control_an_allocation_by_a_declared_length_would_be_seen():
    believing = hostile_bytes.Reader(lambda data: bytearray(int.from_bytes(data)))
    assert weight(believing, b"\x7f\xff\xff\xff"[:3]) > _BASE_BYTES + 3 * _BYTES_EACH


@readers
def test_what_reading_calls_is_bounded_by_the_length_of_the_bytes(name):
    for seed in range(150):
        data = hostile(name, seed)
        assert calls(READERS[name], data) < _BASE_CALLS + _CALLS_EACH * len(data), data


def nested_tuples(n):
    inner = b"\x01"
    for _ in range(n):
        inner = packed(msgspec.msgpack.Ext(int(Code.TUPLE), b"\x91" + inner))
    return "value", b"\x01" + inner


def many_instances(n):
    return "value", encode([TrapFrozen(one) for one in range(n)])


def many_strangers(n):
    record = ErrorRecord("nowhere:Unknown", "m")
    return "exception", packed(ErrorRecord("builtins:ExceptionGroup", "g", members=(record,) * n))


def a_chain_of_causes(n):
    record = ErrorRecord("builtins:ValueError", "m")
    for _ in range(n):
        record = ErrorRecord("builtins:ValueError", "m", cause=record)
    return "exception", packed(record)


def exceptions_among_arguments(n):
    args = encode(("end",))
    for _ in range(n):
        inner = packed(packed(ErrorRecord("builtins:ValueError", "m", args=args)))
        args = ext(Code.TUPLE, packed([msgspec.msgpack.Ext(int(Code.EXCEPTION), inner)]))
    return "exception", packed(ErrorRecord("builtins:ValueError", "m", args=args))


def many_pairs(n):
    return "value", encode({(one,): one for one in range(n)})


def a_record_of_many_members(n):
    record = ErrorRecord("nowhere:Unknown", "m")
    ended = RunEnded("failed", ErrorRecord("builtins:ExceptionGroup", "g", members=(record,) * n))
    return "record", seal(Record(1, 1.0, "driver", 1, b"", ended)).body


@pytest.mark.parametrize(
    "grown",
    [
        nested_tuples, many_instances, many_strangers, a_chain_of_causes, exceptions_among_arguments, many_pairs,
        a_record_of_many_members,
    ],
)  # fmt: skip
def test_twice_as_much_costs_about_twice_as_much(grown):
    (name, small), (_, large) = grown(30), grown(60)
    few, many = calls(READERS[name], small), calls(READERS[name], large)
    assert many < 2.5 * few + 200


# -- found by it -------------------------------------------------------------------------------------------------------


def test_a_stored_object_is_not_asked_for_its_parts_where_plain_data_belongs():
    trap = stored(TrapData(1))
    payloads = [
        (Code.NUMPY_ARRAY, packed(trap)),
        (Code.NUMPY_ARRAY, packed(["<i2", trap, b""])),
        (Code.NUMPY_ARRAY, packed(["<i2", [trap], b""])),
        (Code.NUMPY_ARRAY, packed([trap, [0], b""])),
        (Code.PANDAS_SERIES, packed(trap)),
        (Code.ENUM, packed([f"{TrapData.__module__}:TrapEnum", trap])),
    ]
    name = f"{type(models[0]).__module__}:TrapModel"
    for state in (trap, [{"a": 1}, trap, None, None], [{"a": 1}, [], trap, None], [{"a": 1}, [], None, trap]):
        payloads.append((Code.MODEL, packed([name, state])))
    for code, content in payloads:
        with watched() as ran, suppress(*READERS["value"].refusals):
            decode(ext(code, content))
        assert ran == []


@pytest.mark.parametrize("part", ["args", "native"])
def test_an_object_in_the_place_of_an_exceptions_parts_is_not_asked_for_them(part):
    content = encode(TrapData(1)) if part == "args" else encode({"message": TrapData(1)})
    record = msgspec.structs.replace(ErrorRecord("builtins:ValueError", "m"), **{part: content})
    with watched() as ran:
        rebuilt = rebuild(record)
    assert ran == []
    assert isinstance(rebuilt, ForeignError if part == "args" else ValueError)


@pytest.mark.parametrize(
    "message",
    [
        b"\x82\xa4type\xa6signal\xa4name\xa2\xff\xfe",
        b"\x82\xa4type\xa5ready\xa1x" + b"\x91" * 5000,
    ],
    ids=["text that is none", "depth"],
)
def test_what_a_worker_sends_is_a_message_or_is_said_not_to_be_one(message):
    assert read("from a worker", message) == []
    assert read("to a worker", message) == []


def test_a_sealed_record_whose_text_is_none_is_refused_by_name():
    body = seal(Record(1, 1.0, "driver", 1, b"", RunEnded("succeeded"))).body.replace(b"driver", b"dri\xff\xfer")
    with pytest.raises(Corrupted, match="run run-1: record 1 cannot be decoded"):
        READERS["record"].read(body)


def test_a_sealed_record_that_is_too_deep_is_refused_by_name():
    body = seal(Record(1, 1.0, "driver", 1, b"", RunEnded("failed", ErrorRecord("m:T", "x")))).body
    deep = b"\x83\xa4type\xa3m:T\xa7message\xa1x\xa5cause" * 3000 + packed(ErrorRecord("m:T", "x"))
    with pytest.raises(UsageError, match="run run-1: record 1 is nested too deeply"):
        READERS["record"].read(body.replace(packed(ErrorRecord("m:T", "x")), deep))


@pytest.mark.parametrize("show", [preview, preview_inputs])
def test_what_cannot_be_shown_is_shown_as_an_ellipsis(show):
    assert show(encode(10**5000)) == "…"
    assert show(b"\x01" + b"\x91" * 900 + b"\x01") == "…"


def test_a_value_that_memory_does_not_suffice_for_is_not_called_damaged(monkeypatch):
    """A worker at its limit reads its inputs: that is for the ladder to mend, with more memory."""

    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr("regrow.codec.reading._decode_plain", exhausted)
    with pytest.raises(MemoryError):
        decode(encode([1]))


# -- the watch can see -------------------------------------------------------------------------------------------------


@pytest.mark.control
def test_the_control_whatever_runs_is_seen(tmp_path):
    with watched() as ran:
        (tmp_path / "file").write_bytes(b"")
        subprocess.run(["true"], check=True)
        eval("1")
        repr(TrapData(1))
        with suppress(ImportError):
            __import__("a_module_that_is_not_there")
    seen = " ".join(ran)
    for what in ("open ", "subprocess.Popen ", "exec ", "import a_module", "TrapData.__init__", "TrapData.__repr__"):
        assert what in seen
    with watched() as ran:
        decode(encode([1, (2,)]))
    assert ran == []
