"""Taking a value apart into what msgspec encodes as it is."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec.msgpack import Encoder, Ext

from regrow.codec import classes, standard
from regrow.codec.adapters import adapter_for
from regrow.codec.blobs import Blobs
from regrow.codec.codes import FORMAT, MAX_DEPTH, Code
from regrow.codec.naming import module_alias, type_name
from regrow.codec.refusal import Refused
from regrow.codec.registry import registry
from regrow.errors import UsageError
from regrow.values.files import Dir, File
from regrow.values.secret import Secret

T = TypeVar("T")

ENVELOPE: Final = bytes([FORMAT])
_AS_IS: Final = frozenset({type(None), bool, float, bytes})  # int may be too big, str may hold surrogates
_TEXT: Final = frozenset({str})
_INT64: Final = range(-(1 << 63), 1 << 64)

pack: Final = Encoder().encode
pack_sorted: Final = Encoder(order="deterministic").encode


class Writer:
    """Turns one value into what msgspec encodes as it is: plain values, and an Ext for each that is not.

    Attributes:
        canonical: equal values must give equal bytes, whatever the order of a dict (for digests; never decoded).
        allow_opaque: what has no durable form is replaced by the name of its type instead of being refused.
        portable: whether nothing was replaced so far, and the value could be decoded.
        blobs: where the contents of files go.
    """

    __slots__ = ("_depth", "allow_opaque", "blobs", "canonical", "portable")

    def __init__(self, *, blobs: Blobs | None = None, canonical: bool = False, allow_opaque: bool = False) -> None:
        self.blobs = blobs
        self.canonical = canonical
        self.allow_opaque = allow_opaque
        self.portable = True
        self._depth = 0

    def envelope(self, value: object) -> bytes:
        """Encode a whole value.

        Raises:
            Refused: it has no durable form.
        """
        try:
            return ENVELOPE + self.pack(self.lower(value))
        except RecursionError as error:
            reason = "is nested too deeply to be walked from here; flatten it"
            raise Refused(reason) from error
        except (OverflowError, ValueError) as error:
            # Integers and strings were seen to, so this is MessagePack's limit for one string, list or Ext.
            reason = f"is too large for one value ({error}); write it to a regrow.File"
            raise Refused(reason) from error

    def pack(self, lowered: object) -> bytes:
        """Encode what `lower` gave."""
        return (pack_sorted if self.canonical else pack)(lowered)

    def lower(self, value: object) -> object:
        """Turn a value, and all it holds, into something msgspec encodes.

        Raises:
            Refused: it has no durable form.
        """
        kind = type(value)
        if kind in _AS_IS:
            return value
        if kind is str:
            text = cast("str", value)
            return text if _is_utf8(text) else _ext(Code.SURROGATES, pack(standard.dump_text(text)))
        if kind is int:
            number = cast("int", value)
            return number if number in _INT64 else _ext(Code.BIG_INT, pack(standard.dump_int(number)))
        if self._depth == MAX_DEPTH:
            reason = f"is nested more than {MAX_DEPTH} levels deep, or contains itself; flatten it, or break the cycle"
            raise Refused(reason)
        self._depth += 1
        try:
            container = _CONTAINERS.get(kind)
            return self._object(value, kind) if container is None else container(self, value)
        finally:
            self._depth -= 1

    def _list(self, value: list[object]) -> object:
        kinds = set(map(type, value))
        return value if kinds <= _AS_IS else self._items(value)

    def _items(self, value: list[object] | tuple[object, ...]) -> list[object]:
        lowered: list[object] = []
        try:
            for item in value:
                lowered.append(self.lower(item))  # noqa: PERF401 - its length names the item that is refused
        except Refused as refused:
            refused.within(f"[{len(lowered)}]")
            raise
        return lowered

    def _tuple(self, value: tuple[object, ...]) -> Ext:
        return _ext(Code.TUPLE, self.pack(self._items(value)))

    def _set(self, value: set[object] | frozenset[object]) -> Ext:
        code = Code.SET if type(value) is set else Code.FROZENSET
        try:
            # By their bytes: hashes of strings differ from process to process, and elements may not be comparable.
            elements = sorted(self.pack(self.lower(element)) for element in value)
        except Refused as refused:
            refused.within(".<element>")
            raise
        return _ext(code, self.pack(list(map(msgspec.Raw, elements))))

    def _dict(self, value: dict[Any, object]) -> object:
        if not _TEXT.issuperset(map(type, value)) or not _is_utf8("".join(value)):
            return self._pairs(value)
        lowered = {}
        key = ""
        try:
            for key, item in value.items():
                lowered[key] = self.lower(item)
        except Refused as refused:
            refused.within(f"[{key!r}]")
            raise
        return lowered

    def _pairs(self, value: dict[object, object]) -> Ext:
        pairs = []
        for key, item in value.items():
            try:
                packed = self.pack(self.lower(key))
            except Refused as refused:
                refused.within(".<key>")
                raise
            try:
                pairs.append((packed, self.lower(item)))
            except Refused as refused:
                refused.within(f"[{key!r}]")
                raise
        if self.canonical:
            pairs.sort(key=lambda pair: pair[0])
        return _ext(Code.PAIRS, self.pack([[msgspec.Raw(key), item] for key, item in pairs]))

    def _object(self, value: Any, kind: type) -> object:
        leaf = standard.DUMP.get(kind)
        if leaf is not None:
            return _ext(leaf[0], pack(leaf[1](value)))
        reference = _reference(value)
        if reference is not None:
            return _ext(Code.REFERENCE, pack(reference))
        code = classes.code_of(kind)
        if code is not None and code is not Code.EXCEPTION:
            return self._named(value, kind, code)
        own = _OWN.get(kind)
        if own is not None:
            return own(self, value)
        adapter = adapter_for(value)
        foreign = None if adapter is None else adapter.dump(value, self)
        if foreign is not None:
            return _ext(foreign[0], self.pack(foreign[1]))
        return self._opaque(value, kind)

    def _named(self, value: object, kind: type, code: Code) -> Ext:
        name = registry.name_of(kind)
        lost = classes.undeclared(value, code)
        reason = None
        if name is None:
            name = type_name(kind)
            reason = (
                f"{name} is not among the types of this code; "
                f"annotate the step with it or call regrow.storable({kind.__name__})"
            )
        elif lost is not None:
            reason = f"{name} has the attribute {lost!r} beside its fields, which would be lost; declare it as a field"
        if reason is not None:
            if not self.allow_opaque:
                raise Refused(reason)
            self.portable = False  # its content counts for the digest all the same
        return _ext(code, self.pack([name, classes.dump(value, code, self.lower)]))

    def _file(self, value: File) -> Ext:
        if self.canonical:
            self.portable = self.portable and self.blobs is not None
            return _ext(Code.FILE, pack(_read(lambda: value.digest)))  # names and places do not count, as for ==
        digest = self._stored(_read(lambda: value.path))
        if digest != value.digest:
            reason = f"{value!r} changed after its digest was taken; a File must not change any more"
            raise Refused(reason)
        return _ext(Code.FILE, pack([value.name, value.size, digest]))

    def _dir(self, value: Dir) -> Ext:
        files = _read(lambda: value.files)
        if self.canonical:
            self.portable = self.portable and self.blobs is not None
        else:
            for entry in files:
                if self._stored(value.locate(entry)) != entry.digest:
                    reason = f"{entry.path!r} changed after its digest was taken; a Dir must not change any more"
                    raise Refused(reason)
        return _ext(Code.DIR, pack(files))

    def _stored(self, path: Path) -> str:
        blobs = self.blobs
        if blobs is None:
            reason = "a File or Dir can only be stored by a run, which has a place for its content"
            raise Refused(reason)
        return _read(lambda: blobs.put_file(path))

    def _secret(self, value: Secret) -> Ext:
        if self.canonical:
            # A rotated or renamed credential is the same input; and a digest of it could be guessed at.
            self.portable = self.portable and value.variable is not None
            return _ext(Code.HIDDEN, b"")
        if value.variable is None:
            reason = "a Secret is never stored; hand on Secret.from_env(name), of which only the name is stored"
            raise Refused(reason)
        return _ext(Code.SECRET, pack(value.variable))

    def _opaque(self, value: Any, kind: type) -> Ext:
        if not self.allow_opaque:
            raise Refused(_explain(value, kind))
        self.portable = False
        named = getattr(value, "__func__", value) if isinstance(value, _NAMED_OBJECTS) else kind
        return _ext(Code.OPAQUE, pack(f"{module_alias(named)}:{named.__qualname__}"))


_CONTAINERS: Final[Mapping[type, Callable[[Writer, Any], object]]] = {
    list: Writer._list,  # noqa: SLF001 - a table of its own methods
    tuple: Writer._tuple,  # noqa: SLF001
    dict: Writer._dict,  # noqa: SLF001
    set: Writer._set,  # noqa: SLF001
    frozenset: Writer._set,  # noqa: SLF001
}
_OWN: Final[Mapping[type, Callable[[Writer, Any], Ext]]] = {
    File: Writer._file,  # noqa: SLF001
    Dir: Writer._dir,  # noqa: SLF001
    Secret: Writer._secret,  # noqa: SLF001
}
_NAMED_OBJECTS: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def _ext(code: Code, payload: bytes) -> Ext:
    return Ext(code.value, payload)  # which must be exactly an int


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(step: Callable[[], T]) -> T:
    """Do a step that reads the user's files; one that cannot be read is a value that cannot be stored."""
    try:
        return step()
    except (OSError, UsageError) as error:
        raise Refused(str(error)) from error


def _reference(value: Any) -> str | None:
    try:
        reference = value.__regrow_ref__
    except Exception:  # noqa: BLE001 - a proxy's __getattr__ may raise anything
        return None
    return reference if type(reference) is str else None


def _explain(value: object, kind: type) -> str:
    """Say what a value is and what to do instead."""
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    base = next((base for base in (*_CONTAINERS, bytearray) if isinstance(value, base)), None)
    if isinstance(value, (types.CoroutineType, types.AsyncGeneratorType)):
        advice = "await it first, and store what it gives"
    elif isinstance(value, types.GeneratorType):
        advice = "turn it into a list"
    elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial)):
        advice = "hand on its name or its result; regrow stores data and no code"
    elif base is not None:
        advice = f"turn it into a plain {base.__name__}"
    else:
        advice = "make it a dataclass, or hand on what it takes to make one and make it where it is used"
    return f"a {name} has no durable form; {advice}"
