"""Instances of the user's classes: their state taken apart, and put together again without running their code.

No ``__init__``, ``__new__``, ``__post_init__``, ``__setstate__``, validator or property setter is called here on the
way back: what was valid when it was stored is valid now, and what is stored must not be able to start anything. The one
thing of the user's that runs is a field's ``default_factory``, for a field that the class has gained since.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from enum import Enum, Flag
from typing import Any, Final

import msgspec

from regrow.codec import models
from regrow.codec.codes import Code
from regrow.codec.fields import Lower, lower_fields, missing_field, stored_fields
from regrow.codec.naming import lineage, own_names, type_name
from regrow.codec.refusal import Refused
from regrow.errors import Corrupted, UsageError

_SCALARS: Final = (str, int, float, bytes)
_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: set for every class that a class statement made
_codes: dict[type, Code] = {}


def code_of(cls: type) -> Code | None:
    """Tell how instances of a class are stored; None if they are not."""
    known = _codes.get(cls)
    if known is not None:
        return known
    code = _code_of(cls)
    if code is not None:  # what is no dataclass may still become one
        _codes[cls] = code
    return code


def _code_of(cls: type) -> Code | None:
    if issubclass(cls, BaseException):
        return Code.EXCEPTION
    if issubclass(cls, Enum):
        return Code.ENUM
    if issubclass(cls, msgspec.Struct):
        return Code.STRUCT
    if dataclasses.is_dataclass(cls):
        return Code.DATACLASS
    model = models.base_model()
    if model is not None and issubclass(cls, model):
        return Code.MODEL
    if issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple):
        return Code.NAMEDTUPLE
    if issubclass(cls, _SCALARS) and cls not in _SCALARS and cls is not bool and cls.__module__ != "numpy":
        return Code.SCALAR
    return None


def undeclared(value: object, code: Code) -> str | None:
    """Name an attribute that an instance carries beside its fields, and that would be lost.

    A cached property does not count: it is computed again.
    """
    state = getattr(value, "__dict__", None)
    if code is Code.ENUM or code is Code.MODEL or not state:
        return None
    cls = type(value)
    fields = cls.__dataclass_fields__ if code is Code.DATACLASS else getattr(cls, "__struct_fields__", ())  # type: ignore[attr-defined]
    for name in state:
        if name not in fields and not isinstance(getattr(cls, name, None), functools.cached_property):
            return str(name)
    return None


def dump(value: Any, code: Code, lower: Lower) -> object:
    """Take an instance apart.

    Args:
        value: the instance.
        code: what `code_of` its class gave.
        lower: turns a part into something that msgspec can encode.

    Raises:
        Refused: it could not be put together again.
    """
    return _DUMP[code](value, lower)


def load(cls: type, code: Code, state: Any) -> object:
    """Put an instance together.

    Args:
        cls: its class, from the allow-list.
        code: how it was stored.
        state: what `dump` gave, decoded.

    Raises:
        UsageError: the class is now of another kind.
        Corrupted: the state does not fit the class.
    """
    now = code_of(cls)
    if now is not code:
        kind = "not storable" if now is None else f"stored as {now.name.lower()}"
        msg = f"{type_name(cls)} was recorded as {code.name.lower()} and is {kind} now: give the new class another name"
        raise UsageError(msg)
    return _LOAD[code](cls, state)


# Enum members


def _dump_enum(value: Enum, _: Lower) -> object:
    cls = type(value)
    if value._name_ in cls._member_map_:
        return value._name_
    if isinstance(value, Flag) and _plain_flag(cls):
        return value._value_
    reason = f"{value!r} is no named member of {type_name(cls)}, and the class makes such values itself"
    raise Refused(reason)


def _load_enum(cls: type[Enum], state: str | int) -> Enum:
    if type(state) is str and state in cls._member_map_:
        return cls._member_map_[state]
    if type(state) is int and issubclass(cls, Flag) and _plain_flag(cls):
        return cls(state)  # a combination: Enum's own code, since neither hook is the user's
    if type(state) not in {str, int}:  # its repr may be the user's code
        msg = f"a recorded {type_name(cls)} holds a {type(state).__name__}"
        raise Corrupted(msg)
    msg = f"{type_name(cls)} has no member {state!r} any more: put it back, or start a new run"
    raise UsageError(msg)


def _plain_flag(cls: type[Enum]) -> bool:
    ours = Flag.__dict__["_missing_"]
    hook = next((own_names(base)["_missing_"] for base in lineage(cls) if "_missing_" in own_names(base)), None)
    return hook is ours and type(cls) is type(Flag)


# Dataclasses


@functools.cache
def _slots(cls: Any) -> Mapping[str, Any]:
    """Give a dataclass's fields with the slot that each is written to; None for the instance's ``__dict__``.

    Writing through ``setattr``, even object's own, would call the setter of a property or other descriptor.

    Raises:
        Refused: a field is behind such a descriptor, so writing past it would leave the instance half made.
    """
    slots: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        found = next((own_names(base)[field.name] for base in lineage(cls) if field.name in own_names(base)), None)
        if isinstance(found, types.MemberDescriptorType):
            slots[field.name] = found
        elif hasattr(type(found), "__set__"):
            reason = f"the field {field.name!r} of {type_name(cls)} is behind a {type(found).__name__}; rename one"
            raise Refused(reason)
        else:
            slots[field.name] = None
    builtin = next(base for base in lineage(cls) if not base.__flags__ & _HEAP_TYPE)
    if builtin is not object:
        reason = f"{type_name(cls)} is a dataclass on top of {builtin.__name__}, which holds state of its own"
        raise Refused(reason)
    return slots


def _dump_dataclass(value: object, lower: Lower) -> object:
    cls: Any = type(value)
    fields = {}
    for name in _slots(cls):
        try:
            fields[name] = getattr(value, name)
        except AttributeError:
            reason = f"the field {name!r} of {type_name(cls)} was never set; set it, or give it a default"
            raise Refused(reason) from None
    return lower_fields(fields, lower)


def _load_dataclass(cls: Any, state: object) -> object:
    stored = stored_fields(state)
    try:
        slots = _slots(cls)
    except Refused as refused:
        raise UsageError(refused.reason) from None
    instance: Any = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in stored:
            value = stored[field.name]
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            raise missing_field(cls, field.name)
        slot = slots[field.name]
        if slot is None:
            object.__getattribute__(instance, "__dict__")[field.name] = value
        else:
            slot.__set__(instance, value)
    return instance


# Named tuples and subclasses of scalars


def _dump_namedtuple(value: Any, lower: Lower) -> object:
    return lower_fields(dict(zip(value._fields, value, strict=True)), lower)


def _load_namedtuple(cls: Any, state: object) -> object:
    stored = stored_fields(state)
    defaults = cls._field_defaults
    parts = []
    for name in cls._fields:
        if name not in stored and name not in defaults:
            raise missing_field(cls, name)
        parts.append(stored[name] if name in stored else defaults[name])
    return tuple.__new__(cls, parts)


def _scalar_base(cls: type) -> Any:
    return next(base for base in _SCALARS if issubclass(cls, base))


def _dump_scalar(value: Any, lower: Lower) -> object:
    base = _scalar_base(type(value))
    # Not base(value), which asks the subclass's __str__, __int__, … for something that may differ.
    return lower(base.__getnewargs__(value)[0])


def _load_scalar(cls: Any, state: object) -> object:
    base = _scalar_base(cls)
    if type(state) in _SCALARS and issubclass(cls, type(state)):
        return base.__new__(cls, state)
    msg = f"a recorded {type_name(cls)} holds a {type(state).__name__}"
    raise Corrupted(msg)


_DUMP: Final[Mapping[Code, Callable[[Any, Lower], object]]] = {
    Code.ENUM: _dump_enum,
    Code.DATACLASS: _dump_dataclass,
    Code.MODEL: models.dump_model,
    Code.STRUCT: models.dump_struct,
    Code.NAMEDTUPLE: _dump_namedtuple,
    Code.SCALAR: _dump_scalar,
}
_LOAD: Final[Mapping[Code, Callable[[Any, Any], object]]] = {
    Code.ENUM: _load_enum,
    Code.DATACLASS: _load_dataclass,
    Code.MODEL: models.load_model,
    Code.STRUCT: models.load_struct,
    Code.NAMEDTUPLE: _load_namedtuple,
    Code.SCALAR: _load_scalar,
}
