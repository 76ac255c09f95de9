"""Bytes to values, without running anything that the bytes name.

The bytes may be damaged or hostile. Names in them only select among the classes of the allow-list; instances are put
together without their constructors (`regrow.codec.classes`). The user's code that can still run is the ``__hash__`` and
``__eq__`` of an allowed class whose instance lies in a set or is the key of a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from msgspec.msgpack import Decoder

from regrow.codec import classes, standard
from regrow.codec.adapters import adapter_of
from regrow.codec.blobs import Blobs
from regrow.codec.codes import FORMAT, MAX_DEPTH, NAMED, Code
from regrow.codec.registry import registry
from regrow.errors import Corrupted, RegrowError, UnreadableFormat, UsageError
from regrow.values.files import Dir, DirEntry, File
from regrow.values.secret import Secret


class _ExtMetError(Exception):
    """The data holds more than plain values."""


def _met(_: int, __: memoryview) -> NoReturn:
    raise _ExtMetError


# Most data is plain, and making a decoder costs more than decoding it: so a shared one that gives up tries first.
_decode_plain: Final = Decoder(ext_hook=_met).decode
# Payloads of the standard library: an Ext in there stays an Ext, which no constructor takes.
_decode_leaf: Final = Decoder().decode
_DEPTH: Final = MAX_DEPTH  # each Ext that is written is one level of the value


def decode(data: bytes | memoryview, *, blobs: Blobs | None = None) -> object:
    """Read a value that `encode` wrote.

    Args:
        data: the bytes.
        blobs: where the contents of files are. Without it a `File` knows its name, size and digest only.

    Raises:
        Corrupted: these are not bytes that `encode` wrote, or they lack a field that its class needs.
        UnreadableFormat: a newer regrow wrote them.
        UsageError: they need a class, package or time zone that this process does not have, or too much of the stack.
    """
    view = memoryview(data)
    if not view:
        msg = "a stored value is empty"
        raise Corrupted(msg)
    if view[0] != FORMAT:
        msg = f"a stored value has format {view[0]}, this regrow reads {FORMAT}: it was written by a newer one"
        raise UnreadableFormat(msg)
    try:
        try:
            return _decode_plain(view[1:])
        except _ExtMetError:
            pass
        return Reader(blobs).unpack(view[1:])
    except (RegrowError, MemoryError):  # a worker at its limit: nothing is wrong with the bytes, and the ladder answers
        raise
    except RecursionError as error:
        # Sound bytes, perhaps, for a caller with more of the stack left: so this must not count as corruption.
        msg = (
            "a stored value is nested too deeply to be read this far down the call stack; read it in a shallower place"
        )
        raise UsageError(msg) from error
    except Exception as error:
        # Damaged bytes can make any of the constructors below fail in its own way: every one of them means the same.
        msg = f"a stored value cannot be read ({type(error).__name__}: {error})"
        raise Corrupted(msg) from error


class Reader:
    """Decodes one value.

    Attributes:
        blobs: where the contents of files are.
    """

    __slots__ = ("_decode", "_depth", "blobs")

    def __init__(self, blobs: Blobs | None) -> None:
        self.blobs = blobs
        self._decode = Decoder(ext_hook=self._ext).decode
        self._depth = 0

    def unpack(self, data: bytes | memoryview) -> Any:
        """Decode a payload."""
        return self._decode(data)

    def _ext(self, number: int, payload: memoryview) -> object:
        if self._depth == _DEPTH:
            msg = "a stored value is nested too deeply"
            raise Corrupted(msg)
        self._depth += 1
        try:
            leaf = standard.LOAD.get(number)
            if leaf is not None:
                return leaf(_decode_leaf(payload))
            try:
                code = Code(number)
            except ValueError:
                msg = f"a stored value is of kind {number}, which this regrow does not know: a newer one wrote it"
                raise UnreadableFormat(msg) from None
            return self._value(code, payload)
        finally:
            self._depth -= 1

    def _value(self, code: Code, payload: memoryview) -> object:
        own = _OWN.get(code)
        if own is not None:
            return own(_decode_leaf(payload), self.blobs)
        content = self.unpack(payload)
        container = _CONTAINERS.get(code)
        if container is not None:
            return container(_checked(content, list))
        if code in NAMED:
            name, state = _checked(content, list)
            return classes.load(_class(_checked(name, str)), code, state)
        adapter = adapter_of(code)
        if adapter is None:
            msg = f"a stored value holds a {code.name.lower()}, which is never stored"
            raise Corrupted(msg)
        return adapter.load(code, content, self)


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        msg = f"a stored value holds a {type(value).__name__} where a {kind.__name__} belongs"
        raise Corrupted(msg)
    return value


def _class(name: str) -> type:
    cls = registry.find(name)
    if cls is None:
        msg = (
            f"a stored value is a {name}, which is not among the types of this code: import its module and annotate a "
            "step with it, or call regrow.storable on it (if it was renamed, on a class of its old name)"
        )
        raise UsageError(msg)
    return cls


def _load_pairs(pairs: list[Any]) -> dict[object, object]:
    return {key: value for key, value in (_checked(pair, list) for pair in pairs)}  # noqa: C416 - checks each has two


def _load_file(payload: Any, blobs: Blobs | None) -> File:
    name, size, digest = payload
    return File.stored(_checked(name, str), _checked(size, int), _digest(digest), _locate(blobs))


def _load_dir(payload: Any, blobs: Blobs | None) -> Dir:
    entries = (_checked(entry, list) for entry in _checked(payload, list))
    files = [
        DirEntry(_checked(path, str), _digest(digest), _checked(size, int), _checked(executable, bool))
        for path, digest, size, executable in entries
    ]
    return Dir.stored(tuple(files), _locate(blobs))


def _locate(blobs: Blobs | None) -> Callable[[str], Path] | None:
    return None if blobs is None else blobs.path_of


def _digest(text: Any) -> str:
    """Check a digest, which a blob store is going to make a path of."""
    if len(_checked(text, str)) != 64 or not set(text) <= set("0123456789abcdef"):  # noqa: PLR2004 - sha256 in hex
        msg = f"{text!r} is no digest"
        raise Corrupted(msg)
    return text  # type: ignore[no-any-return]


def _load_secret(payload: Any, _: Blobs | None) -> Secret:
    return Secret.from_env(_checked(payload, str))


def _load_reference(payload: Any, _: Blobs | None) -> object:
    name = _checked(payload, str)
    try:
        return registry.references[name]
    except KeyError:
        msg = f"a stored value refers to {name}, which this process has not loaded: import the module that defines it"
        raise UsageError(msg) from None


_CONTAINERS: Final[Mapping[Code, Callable[[list[Any]], object]]] = {
    Code.TUPLE: tuple,
    Code.SET: set,
    Code.FROZENSET: frozenset,
    Code.PAIRS: _load_pairs,
}
_OWN: Final[Mapping[Code, Callable[[Any, Blobs | None], object]]] = {
    Code.FILE: _load_file,
    Code.DIR: _load_dir,
    Code.SECRET: _load_secret,
    Code.REFERENCE: _load_reference,
}
