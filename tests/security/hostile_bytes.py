"""Bytes that nobody honest wrote, for each place where regrow reads what was stored or sent.

What `test_fuzz.py` and the long run of `fuzz_decoder.py` share: the readers, with the errors that each may answer with,
and a mutator that takes real encodings apart and puts something else together.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from regrow.codec import ErrorRecord, decode, encode, rebuild
from regrow.codec.adapters import adapter_of
from regrow.codec.codes import Code
from regrow.engine.invariants import check_run
from regrow.engine.state import fold
from regrow.errors import Corrupted, UnreadableFormat, UsageError
from regrow.executors import warm
from regrow.executors.channel import Frames, SocketChannel, from_worker
from regrow.insight.preview import preview, preview_inputs
from regrow.insight.tree import tree_of
from regrow.journal import chain
from regrow.journal.blobs import MemoryBlobs

from .real_encodings import SEEDS, framed
from .traps import TrapData, TrapFrozen, TrapStruct, TrapText, TrapTuple, fired, models

# -- who reads ---------------------------------------------------------------------------------------------------------


class Reader(msgspec.Struct, frozen=True):
    """A function that reads bytes, and the errors that it is documented to answer bad ones with."""

    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = ()


def _stored(data):
    return chain.StoredRecord(1, data, hashlib.sha256(data).digest())


def _record(data):
    """Read a record whose hash is right: what is left to protect is whoever reads a journal that somebody made up."""
    found = chain.unseal_all("run-1", [_stored(data)])
    fold(found)
    check_run(found)
    tree_of(found)


class _Heard(asyncio.StreamReader):
    def __init__(self, data):
        super().__init__(loop=_loop)
        self.feed_data(data)
        self.feed_eof()


_loop = asyncio.new_event_loop()


def _finished(coroutine):
    """Run a coroutine that never has to wait: all that it reads is there."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for more than there is")


def _channel(data, decoder=from_worker):
    frames = Frames(_Heard(data), decoder)
    while _finished(frames.next()) is not None:
        pass


class _Line:
    """As much of a socket as a worker reads."""

    def __init__(self, data):
        self._left = data

    def recv(self, count):
        part, self._left = self._left[:count], self._left[count:]
        return part


def _error(data):
    try:
        record = msgspec.msgpack.decode(data, type=ErrorRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # msgspec's own affair here: it is read as a part of records and messages, which are tried as well
    assert isinstance(rebuild(record), BaseException)


_CODEC = (Corrupted, UnreadableFormat, UsageError)
_blobs = MemoryBlobs()
READERS = {
    "value": Reader(decode, _CODEC),
    "value with files": Reader(lambda data: decode(data, blobs=_blobs), _CODEC),
    "exception": Reader(_error),
    "record": Reader(_record, _CODEC),
    "from a worker": Reader(lambda data: _channel(framed(data)), (msgspec.DecodeError,)),
    "to a worker": Reader(lambda data: SocketChannel(_Line(framed(data))).receive(), (msgspec.DecodeError,)),
    "from a fork server": Reader(lambda data: _channel(framed(data), warm.news_decoder), (msgspec.DecodeError,)),
    "channel": Reader(_channel, (msgspec.DecodeError,)),
    "preview": Reader(preview),
    "preview of inputs": Reader(preview_inputs),
}
"""Everything that makes values, records or messages of bytes. An empty tuple: it answers, whatever it is given."""


# -- what they are given: encodings that were tampered with -----------------------------------------------------------

"""Real encodings, for each reader."""

_STORED = [encode(one) for one in (TrapData(1), TrapFrozen(1), TrapStruct(1), TrapTuple(1), TrapText("t"), *models)]
_BOMBS = (
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01", b"\xdc\xff\xff", b"\xc9\x7f\xff\xff\xff\x50",
)  # fmt: skip
"""Headers that announce gigabytes: list, map, text, bytes, extension."""
_ODD = (
    None, True, -1, 2**64 - 1, -(2**63), float("nan"), float("inf"), -0.0, "", b"", "\x00", "é" * 20, b"\x01\xc0",
    [], {}, "9" * 5000, "UTC", "../x", "a" * 64, "os:system", "builtins:type", "builtins:OSError", [[]] * 3,
)  # fmt: skip


_WELL_FORMED = 0.7
"""Of what is tried: the rest is refused at its first bytes, more often than not."""


class _Node(msgspec.Struct):
    """An extension, opened."""

    code: int
    content: Any


def _opened(data, depth=0):
    """Take an encoding apart, extensions and encodings within it as well; what is none stays bytes."""
    try:
        found = msgspec.msgpack.decode(data, ext_hook=lambda code, inner: _Node(code, _opened(bytes(inner), depth + 1)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(data)
    return found if isinstance(found, (list, dict, _Node, bytes)) or depth else data


def _closed(tree):
    """Put it together again."""
    return msgspec.msgpack.encode(_packed(tree))


def _packed(tree):
    if isinstance(tree, _Node):
        content = tree.content if isinstance(tree.content, bytes) else _closed(tree.content)
        return msgspec.msgpack.Ext(max(-128, min(127, tree.code)), content)
    if isinstance(tree, list):
        return [_packed(one) for one in tree]
    if isinstance(tree, dict):
        return {key: _packed(one) for key, one in tree.items()}
    return tree


def _places(tree, found):
    """List every place in a tree: who holds it, and under what."""
    content = tree.content if isinstance(tree, _Node) else tree
    if isinstance(tree, _Node):
        found.append((tree, None))
    if isinstance(content, list):
        inside = list(enumerate(content))
    elif isinstance(content, dict):
        inside = list(content.items())
    else:
        inside = []
    for key, one in inside:
        found.append((content, key))
        _places(one, found)
    return found


def _put(place, value):
    holder, key = place
    if isinstance(holder, _Node):
        holder.content = value
    else:
        holder[key] = value


def _got(place):
    holder, key = place
    return holder.content if isinstance(holder, _Node) else holder[key]


def _rebuilt(data, other, dice):
    """Change the tree of an encoding: a node becomes another, an odd one, a deep one; a code becomes another."""
    head = data[:1] if data[:1] == b"\x01" and len(data) > 1 else b""
    tree, donor = _opened(data[len(head) :]), _opened(other[1:] if other[:1] == b"\x01" else other)
    places, given = _places(tree, []), _places(donor, [])
    if not places:
        return data + dice.choice(_BOMBS)
    for _ in range(dice.choice((1, 1, 2))):
        place = dice.choice(places)
        match dice.randrange(7):
            case 0 | 1 if given:
                _put(place, _opened(_closed(_got(dice.choice(given))), 1))
            case 2:
                _put(place, dice.choice(_ODD))
            case 3:
                inner = _got(place)
                for _ in range(dice.choice((1, 5, 120))):
                    inner = [inner] if dice.randrange(2) else _Node(dice.choice((1, 2, 4, 46)), [inner])
                _put(place, inner)
            case 4 if isinstance(place[0], _Node):
                place[0].code = dice.randrange(-1, 128)
            case 5:
                _put(place, _Node(dice.randrange(128), _got(place)))
            case _:
                # As it is, or as bytes: what an exception's arguments are in, and a call's inputs.
                inner = dice.choice(_STORED)
                _put(place, inner if dice.randrange(2) else _opened(inner[1:], 1))
    with suppress(RecursionError):
        return head + _closed(tree)
    return data


def mutated(data, other, dice):
    """Give bytes that are nearly an encoding.

    Args:
        data: an encoding.
        other: another one, to take parts of.
        dice: decides what is done.
    """
    if dice.random() < _WELL_FORMED:
        return _rebuilt(data, other, dice)
    for _ in range(dice.choice((1, 1, 2))):
        found = bytearray(data)
        at = dice.randrange(len(found) + 1)
        match dice.randrange(6):
            case 0 if found:
                found[at % len(found)] ^= 1 << dice.randrange(8)
            case 1 if found:
                found[at % len(found)] = dice.choice((0x00, 0x80, 0x90, 0xC0, 0xC1, 0xFF, dice.randrange(256)))
            case 2:
                del found[at:]
            case 3:
                found[at:at] = dice.choice(_BOMBS)
            case 4:
                found[at : at + dice.randrange(6)] = other[dice.randrange(len(other) + 1) :][: dice.randrange(1, 40)]
            case _:
                found[at:at] = bytes([dice.choice((0x91, 0x81, 0xC7))]) * dice.choice((3, 150, 3000))
        data = bytes(found)
    return data


def hostile(reader, seed):
    """Give the bytes for a reader that a seed stands for."""
    dice = random.Random(seed)
    return mutated(dice.choice(SEEDS[reader]), dice.choice(SEEDS[dice.choice(list(SEEDS))]), dice)


def _load_all():
    """Load now what is loaded on first use, before anybody watches: the adapters, and what reads time zones."""
    for code in Code:
        with suppress(UsageError):
            adapter_of(code)
    with suppress(ZoneInfoNotFoundError):
        ZoneInfo("Europe/Nowhere")
    for name, reader in READERS.items():
        for seed in SEEDS[name]:
            with suppress(Exception):
                reader.read(seed)
    fired.clear()


_load_all()
