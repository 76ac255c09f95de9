"""Pydantic models and msgspec Structs: their state taken apart, and put together again past hooks and validators."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from regrow.codec.fields import Lower, lower_fields, missing_field, stored_fields
from regrow.codec.naming import lineage, own_names, type_name
from regrow.codec.refusal import Refused
from regrow.errors import Corrupted, UsageError

_STRUCT_META: Final[Any] = type(msgspec.Struct)


def base_model() -> type | None:
    """Find pydantic's BaseModel if the user has loaded it: an instance cannot exist before that."""
    module = sys.modules.get("pydantic.main")
    return None if module is None else vars(module).get("BaseModel")


def _model_fields(cls: Any) -> Mapping[str, Any]:
    return cls.__pydantic_fields__ if hasattr(cls, "__pydantic_fields__") else cls.model_fields  # type: ignore[no-any-return]


def dump_model(value: Any, lower: Lower) -> object:
    """Take a model apart: fields, which of them were set, extra fields, private attributes."""
    fields = _model_fields(type(value))
    state = lower_fields({name: part for name, part in value.__dict__.items() if name in fields}, lower)
    extra = None if value.__pydantic_extra__ is None else lower_fields(value.__pydantic_extra__, lower)
    private = None
    if value.__pydantic_private__ is not None:
        # An attribute that was never set is left out, as it is in the instance.
        undefined = type(sys.modules["pydantic_core"].PydanticUndefined)
        private = lower_fields({k: v for k, v in value.__pydantic_private__.items() if type(v) is not undefined}, lower)
    return [state, sorted(value.__pydantic_fields_set__), extra, private]


def load_model(cls: Any, state: Any) -> object:
    """Put a model together, past its validators."""
    stored, fields_set, extra, private = _plain_parts(state)
    fields = _model_fields(cls)
    values = {name: part for name, part in stored_fields(stored).items() if name in fields}
    for name, field in fields.items():
        if name not in values:
            if field.is_required():
                raise missing_field(cls, name)
            values[name] = field.get_default(call_default_factory=True, validated_data=values)
    instance = object.__new__(cls)
    object.__setattr__(instance, "__dict__", values)
    object.__setattr__(instance, "__pydantic_fields_set__", set(fields_set) & (fields.keys() | (extra or {}).keys()))
    object.__setattr__(instance, "__pydantic_extra__", extra)
    object.__setattr__(instance, "__pydantic_private__", private)
    return instance


def _plain_parts(state: Any) -> list[Any]:
    """Check what is about to be unpacked and asked for its keys: a stored object would answer with the user's code."""
    if type(state) is list and len(state) == 4:  # noqa: PLR2004 - what dump_model gave
        _, fields_set, extra, private = state
        sound = type(fields_set) is list and all(type(name) is str for name in fields_set)
        if sound and all(part is None or type(part) is dict for part in (extra, private)):
            return state
    msg = "the state of a stored model is not as it was written"
    raise Corrupted(msg)


@functools.cache
def _twin(cls: Any) -> Any:
    """Give a class to make instances with, in place of a Struct that has a ``__post_init__``.

    msgspec offers no way to make a Struct without calling its ``__post_init__`` (object.__new__ refuses it, and copying
    needs an instance). So an instance of a subclass whose hook does nothing is made, and turned into one of the class
    itself. It has the same layout, since the subclass adds no field.

    Raises:
        Refused: making a subclass would itself run the user's code.
    """
    bases = [base for base in lineage(cls) if base not in {object, msgspec.Struct}]
    if any("__init_subclass__" in own_names(base) for base in bases) or type(cls) is not _STRUCT_META:
        reason = (
            f"{type_name(cls)} has a __post_init__ and also __init_subclass__ or a metaclass, so it cannot be made "
            "again without running them; drop one, or use a dataclass"
        )
        raise Refused(reason)
    return msgspec.defstruct(cls.__name__, (), bases=(cls,), namespace={"__post_init__": lambda _: None})


def dump_struct(value: Any, lower: Lower) -> object:
    """Take a Struct apart into its fields."""
    cls: Any = type(value)
    if hasattr(cls, "__post_init__"):
        _twin(cls)  # refuses now rather than when it is read
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    return lower_fields({name: part for name, part in fields.items() if part is not msgspec.UNSET}, lower)


def load_struct(cls: Any, state: object) -> object:
    """Put a Struct together, past its ``__post_init__``."""
    known = frozenset(cls.__struct_fields__)
    fields = {name: part for name, part in stored_fields(state).items() if name in known}
    hooked = hasattr(cls, "__post_init__")
    try:
        # The metaclass's own __call__: a subclass of the metaclass may have the user's.
        instance = _STRUCT_META.__call__(_twin(cls) if hooked else cls, **fields)
    except Refused as refused:
        raise UsageError(refused.reason) from None
    except TypeError as error:
        msg = f"a recorded {type_name(cls)} cannot be read: {error}; give new fields a default"
        raise Corrupted(msg) from error
    if hooked:
        msgspec.structs.force_setattr(instance, "__class__", cls)
    return cast("object", instance)
