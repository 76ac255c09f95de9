"""Exceptions: recorded with all that a later process needs, and made again as what they were."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from regrow.codec.builtin_errors import bare, is_builtin, native_fields, set_native_fields
from regrow.codec.codes import Code
from regrow.codec.error_record import DEEPEST, RECORD, ErrorRecord, NetworkView, record_of
from regrow.codec.frames import clean, frames_of
from regrow.codec.naming import lineage, loaded_class, own_names, type_name
from regrow.codec.network import network_view
from regrow.codec.reading import decode
from regrow.codec.registry import registry
from regrow.codec.writing import encode
from regrow.errors import Corrupted, ForeignError, Layer, RegrowError
from regrow.values.secret import redact

if TYPE_CHECKING:
    from regrow.codec.reading import Reader
    from regrow.codec.writer import Writer

MAX_RECORDS: Final = 256
"""How many exceptions one record holds in all: causes and contexts branch, so their depth alone bounds little."""
_LONGEST_TEXT: Final = 16_384
_LONGEST_ARGUMENT: Final = 65_536
"""A record is read whole at every resume, and an exception is no place for data."""
_LAYERS: Final = frozenset({"infrastructure", "network", "logical", "semantic"})

_encode_record: Final = msgspec.msgpack.Encoder().encode
_decode_record: Final = msgspec.msgpack.Decoder(ErrorRecord).decode


class _Walk:
    """One capture: the exceptions that it is inside of, and how many more it may record."""

    __slots__ = ("inside", "left")

    def __init__(self) -> None:
        self.inside: list[BaseException] = []
        self.left = MAX_RECORDS


# A context variable, because an exception among the arguments of another is reached through `encode`.
_walk: Final[ContextVar[_Walk | None]] = ContextVar("regrow_capture", default=None)


def capture(exc: BaseException) -> ErrorRecord:
    """Record an exception.

    Does not fail: what cannot be stored of it is kept as its repr. Secrets are blanked out of every text.

    Args:
        exc: the exception. One that `rebuild` made keeps the frames of the original, and its view of the network.
    """
    walk = _walk.get()
    if walk is not None:
        return _record(exc, walk)
    token = _walk.set(_Walk())
    try:
        return _record(exc, cast("_Walk", _walk.get()))
    finally:
        _walk.reset(token)


def _record(exc: BaseException, walk: _Walk) -> ErrorRecord:
    earlier = record_of(exc)
    if type(exc) is ForeignError and earlier is not None:
        # So that passing through a process without the class loses nothing.
        return earlier.within(DEEPEST - len(walk.inside))
    # A `__str__` may need what could not be stored.
    name, message = type_name(type(exc)), _text(str, exc, otherwise=None if earlier is None else earlier.message)
    walk.left -= 1
    if walk.left < 0 or len(walk.inside) >= DEEPEST - 1 or any(outer is exc for outer in walk.inside):
        return ErrorRecord(type=name, message=message)
    walk.inside.append(exc)
    try:
        cause, context = exc.__cause__, exc.__context__
        members = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
        # The clock is for servers that name a moment. Once the exception has travelled, that would be read too late.
        network = network_view(exc, now=time.time())
        return ErrorRecord(
            type=name,
            message=message,
            args=b"" if members else _encoded_args(exc),
            attributes=_encoded(_attributes(exc)),
            native=_encoded(native_fields(exc)),
            notes=tuple(clean(note) for note in _notes(exc)),
            frames=frames_of(exc.__traceback__) if earlier is None else earlier.frames,
            cause=None if cause is None else _record(cause, walk),
            # `raise … from …` usually sets both to one object, which would double the record at each level.
            context=None if context is None or context is cause else _record(context, walk),
            suppress_context=exc.__suppress_context__,
            members=tuple(_record(member, walk) for member in members),
            layer=_layer(exc, network),
            network=network,
        )
    finally:
        walk.inside.pop()


def _text(show: Callable[[object], str], value: object, *, otherwise: str | None = None) -> str:
    """Show a value by str or repr, whatever its class makes of that."""
    try:
        text = clean(show(value))
    except Exception:  # noqa: BLE001 - the user's __str__ or __repr__
        return f"<a {type(value).__qualname__} that cannot be shown>" if otherwise is None else otherwise
    if len(text) > _LONGEST_TEXT:
        return f"{text[:_LONGEST_TEXT]}… ({len(text) - _LONGEST_TEXT} more characters)"
    return text


def _storable(value: object) -> object:
    """Give a value if it can be stored, else its repr."""
    if type(value) is str:
        return redact(value) if len(value) <= _LONGEST_ARGUMENT else _text(str, value)
    if type(value) is bytes and len(value) > _LONGEST_ARGUMENT:
        return _text(repr, value[:_LONGEST_TEXT])
    try:
        encode(value)
    except Exception:  # noqa: BLE001 - a half-made object may fail in any way
        return _text(repr, value)
    return value


def _encoded(named: Mapping[str, object]) -> bytes:
    return encode({name: _storable(value) for name, value in named.items()}) if named else b""


def _encoded_args(exc: BaseException) -> bytes:
    return encode(tuple(_storable(arg) for arg in exc.args)) if exc.args else b""


def _attributes(exc: BaseException) -> dict[str, object]:
    """Give what an instance holds of its own, in its ``__dict__`` and in slots."""
    found = {k: v for k, v in _state(exc).items() if not k.startswith(("__", "_regrow"))}
    for name, slot in _slots(type(exc)).items():
        try:
            found[name] = slot.__get__(exc)
        except AttributeError:  # not set
            continue
    return found


def _slots(cls: type) -> dict[str, Any]:
    return {
        name: slot
        for base in lineage(cls)
        if not is_builtin(base)
        for name, slot in own_names(base).items()
        if isinstance(slot, MemberDescriptorType)
    }


def _state(exc: BaseException) -> dict[str, Any]:
    return object.__getattribute__(exc, "__dict__")  # type: ignore[no-any-return]


def _notes(exc: BaseException) -> list[str]:
    notes = _state(exc).get("__notes__", ())
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, (list, tuple)) else []


def _layer(exc: BaseException, network: NetworkView | None) -> Layer:
    seen: Layer = "logical" if network is None else "network"
    try:
        layer = getattr(exc, "layer", None)  # what its own class says goes before what it looks like
    except Exception:  # noqa: BLE001 - a property of the user's
        return seen
    return cast("Layer", layer) if isinstance(layer, str) and layer in _LAYERS else seen


def rebuild(record: ErrorRecord) -> BaseException:
    """Make a recorded exception again, of the class that it had, without running that class's code.

    Args:
        record: what `capture` gave.

    Returns:
        The exception with its arguments, attributes, notes, cause and context; a ForeignError if its class is not
        loaded in this process, or cannot be made without its own code.
    """
    members = [rebuild(member) for member in record.members]
    exc = _made(record, members)
    if exc is None:
        exc = ForeignError(record.type, record.message)
        if members:
            exc.__cause__ = BaseExceptionGroup("what was in the group", members)
    state = _state(exc)
    if record.notes:
        state["__notes__"] = list(record.notes)
    state[RECORD] = record
    if record.cause is not None:
        exc.__cause__ = rebuild(record.cause)
    exc.__context__ = exc.__cause__ if record.context is None else rebuild(record.context)
    exc.__suppress_context__ = record.suppress_context
    return exc


def _made(record: ErrorRecord, members: list[BaseException]) -> BaseException | None:
    cls = _exception_class(record.type)
    if cls is None:
        return None
    try:
        native = _named(record.native)
        message = native.get("message")  # of a group; anything else than text would be asked for it
        exc = bare(cls, message if type(message) is str else record.message, members)
        if record.args:
            args = decode(record.args)
            if type(args) is not tuple:  # a stored object would be asked to iterate
                return None
            BaseException.__dict__["args"].__set__(exc, args)
        set_native_fields(exc, native)
        slots, state = _slots(cls), _state(exc)
        for name, value in _named(record.attributes).items():
            if name in slots:
                slots[name].__set__(exc, value)
            else:
                state[name] = value
    except (TypeError, ValueError, RegrowError):
        return None  # a ForeignError says more than an exception with half of its state
    return exc


def _exception_class(name: str) -> type[BaseException] | None:
    cls = registry.find(name) or loaded_class(name)
    return cls if cls is not None and BaseException in lineage(cls) else None


def _named(data: bytes) -> dict[str, Any]:
    named = decode(data) if data else {}
    if type(named) is not dict or not all(type(name) is str for name in named):
        msg = "the attributes of a stored exception are not named"
        raise Corrupted(msg)
    return named


# As an adapter: exceptions that are values


def dump(value: BaseException, writer: Writer) -> tuple[Code, object]:
    """Give an exception's code and payload."""
    record = capture(value)
    if writer.canonical:
        return Code.EXCEPTION, [record.type, record.message, record.args]  # where it was raised does not count
    return Code.EXCEPTION, _encode_record(record)


def load(_: Code, payload: Any, __: Reader) -> BaseException:
    """Give the exception back."""
    return rebuild(_decode_record(payload))
