"""Real encodings, for each place where regrow reads what was stored or sent: what hostile bytes begin with."""

import struct
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from regrow.codec import ErrorRecord, capture, encode
from regrow.codec.codes import Code
from regrow.codec.error_record import NetworkView
from regrow.codec.frames import Frame
from regrow.engine.state import CallState
from regrow.executors import messages, warm
from regrow.journal import records
from regrow.journal.chain import seal
from regrow.journal.store import LogLine
from regrow.values.policies import Bounds
from regrow.values.resources import Resources
from regrow.values.secret import Secret

from .traps import TrapData, TrapEnum, TrapError, TrapFrozen, TrapStruct, TrapText, TrapTuple, models


def framed(data):
    return struct.pack("<I", len(data)) + data


def _values():
    raised = TrapError("no", {"code": 3})
    raised.__cause__ = OSError(2, "no such file", "name")
    raised.add_note("a note")
    yield from (None, True, -1, 2**63, 2**70, -(2**90), float("nan"), float("-inf"), "text", "\ud800", b"bytes")
    yield from ([1, [2, [3]]], {"a": {"b": None}}, {1: 2, (3,): 4}, (1, (2,)), {1, 2}, frozenset("a"), bytearray(b"x"))
    yield from (1j, range(3), datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1))
    yield from (datetime.now(UTC).date(), time(1, 2, tzinfo=UTC), timedelta(1), Decimal("1e999"), Fraction(1, 3))
    yield from (UUID(int=5), Path("a/b"), TrapTuple(1), TrapText("t"), TrapEnum.ONE)
    yield from (TrapData(1, [TrapFrozen("x")]), TrapStruct(1), [TrapData({"k": TrapStruct(2)})], *models)
    yield from (
        raised,
        ExceptionGroup("both", [raised, KeyError(TrapTuple(1))]),
        UnicodeDecodeError("u", b"x", 0, 1, "r"),
    )
    yield Secret.from_env("HOME")
    with suppress(ImportError):
        import numpy as np

        yield from (np.arange(6, dtype="i2").reshape(2, 3), np.float32(1), np.zeros(2, [("a", "f8"), ("b", "u1", 2)]))
    with suppress(ImportError):
        import pyarrow as pa

        yield from (pa.table({"a": [1, 2], "b": ["x", None]}), pa.array([1.5, None]))


def _events():
    call = records.Call("task#1/step#1", "step", 1, b"digest", encode({"a": 1}))
    error = capture(ValueError("no"))
    value = encode([1, "two"])
    yield records.RunCreated("run-1", "m:task", "file", value, b"d", "key", budget=Bounds(attempts=3))
    yield records.DriverOpened("user@host pid 1 (00)", "1", "3.11")
    yield records.DriverClosed("done", 1, 2.5)
    yield records.CallStarted(call, 1, 5.0, once=True)
    yield records.ChunkYielded(call, 0, value)
    yield records.AttemptFailed(call, 1, 2.0, error, 3.0, ("task#1",), records.Grow(memory=1 << 30), "policy")
    yield records.CallSucceeded(call, 1, 2.0, records.BlobRef("a" * 64, 70_000))
    yield records.CallFailed(call, 2, 2.0, error, ("task#1/step#1",))
    yield records.CallCancelled(call, 1, 1.0)
    yield records.OutcomeDecided("task#1", happened=True, value=value, reason="seen")
    yield records.Diverged("task#1", "other inputs")
    yield records.RunRetried(("task#1",))
    yield records.RunEnded("failed", error)
    yield records.WorkerStarted("task#1", 1, 77, "host", Resources(memory=1 << 28), ("cgroup v1",))
    yield records.WorkerSampled("task#1", 1, ((1.0, 2),))
    yield records.WorkerGrown("task#1", 1, 1, 2, 0.5)
    yield records.WorkerEnded("task#1", 1, "SIGKILL", 5, signal=9)
    yield records.Spent("task#1", 1, 150, "a token")
    yield records.CheckpointSaved("task#1", 1, 1, value, ("a" * 64,), "task#1", {"step": 1}, {"work": 1})


def _messages():
    call = records.Call("task#1/inner#1", "task", 1, b"digest")
    code = messages.Code("m:task", "m", "m.py")
    job = messages.Job(call, "inner", 1, 0, 0.0, code, encode(((), {})), 3, Resources(memory=1))
    error = capture(TrapError("no"))
    start = messages.Start(
        "run-1", job, [CallState(call, 1)], 3, None, 0.0, 0, None, strict=False, ceiling=1, secrets={"A": "b"},
        project="default", forked=records.RunForked("run-0", "task#1", 2), blobs=None, scratch="s", gpus=(),
        data_limit=None,
    )  # fmt: skip
    yield "from a worker", messages.Ready(("RLIMIT_DATA",))
    for event in _events():
        yield "from a worker", messages.Append(event, ("a" * 64,), 1)
    yield "from a worker", messages.Logged(LogLine(1.0, "task#1", 1, "INFO", "text"))
    yield "from a worker", messages.Spawn(1, job)
    yield "from a worker", messages.PutBlob(1, b"content")
    yield "from a worker", messages.Gave(encode(1), (), messages.Counted(1))
    yield "from a worker", messages.Threw(error, "raised", ("task#1",), messages.Counted())
    yield "to a worker", start
    yield "to a worker", messages.Ack(1, error)
    yield "to a worker", messages.Spawned(1, encode(1), ("a" * 64,), error)
    yield "to a worker", messages.Stop("preempted", 3.0)
    yield "from a fork server", warm.Loaded(1)
    yield "from a fork server", warm.NotLoaded(error)
    yield "from a fork server", warm.Exited(1, 9, 0.5)


def _seeds():
    found: dict[str, list[bytes]] = {}
    values = [encode(value) for value in _values()]
    for code, payload in ((Code.FILE, ["name", 3, "a" * 64]), (Code.DIR, [["name", "a" * 64, 3, False]])):
        values.append(b"\x01" + msgspec.msgpack.encode(msgspec.msgpack.Ext(int(code), msgspec.msgpack.encode(payload))))
    for name in ("value", "value with files", "preview", "preview of inputs"):
        found[name] = list(values)
    found["record"] = [
        seal(records.Record(1, 1.0, "driver", 1, b"", event)).body for event in _events()
    ]  # every kind, in the place of a run's only record
    network = NetworkView("rate-limited", 429, 2.5, "it said so")
    rich = ErrorRecord(
        "builtins:OSError", "no", encode((2, "no")), encode({"a": TrapData(1)}), encode({"errno": 2}), ("note",),
        (Frame("f.py", 1, "f", "code"),), ErrorRecord("x:Y", "cause"), network=network,
    )  # fmt: skip
    group = ErrorRecord("builtins:ExceptionGroup", "both", native=encode({"message": "both"}), members=(rich, rich))
    made = [capture(TrapError("no")), capture(KeyError("k")), rich, group]
    found["exception"] = [msgspec.msgpack.encode(one) for one in made]
    for name, message in _messages():
        found.setdefault(name, []).append(msgspec.msgpack.encode(message))
    sent = [framed(body) for body in found["from a worker"]]
    found["channel"] = [*sent, b"".join(sent[:3])]
    return found


SEEDS = _seeds()
