"""Types as JSON Schema, and JSON as values of a type: what people and machines outside answer is JSON.

msgspec knows both for plain types, dataclasses, enums, literals and its own structs. Whatever has a pydantic model in
it is left to pydantic, which is loaded if such a type exists at all.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from regrow.codec.annotations import reachable
from regrow.codec.registry import registry
from regrow.errors import UnfitAnswer, UsageError


def schema_of(type_: Any) -> dict[str, Any]:
    """Give what JSON must be in order to be a value of a type.

    Raises:
        UsageError: the type has no such form.
    """
    if _has_model(type_):
        from pydantic import TypeAdapter  # noqa: PLC0415 - it is loaded: a model of it is in the type

        return _inlined(TypeAdapter(type_).json_schema())
    try:
        return _inlined(msgspec.json.schema(type_))
    except TypeError as problem:
        raise UsageError(f"an answer cannot be a {_name(type_)}: it has no form in JSON ({problem})") from None


def read_json(data: bytes, type_: Any, *, ask: str = "") -> Any:
    """Give the value of a type that JSON stands for.

    Raises:
        UnfitAnswer: it is none; names the field.
    """
    if _has_model(type_):
        from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - as above

        try:
            return TypeAdapter(type_).validate_json(data)
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
            raise UnfitAnswer(ask, f"answer{place}", first["msg"]) from None
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as problem:
        text, _, place = str(problem).partition(" - at `$")
        raise UnfitAnswer(ask, f"answer{place.removesuffix('`')}", text[:1].lower() + text[1:]) from None
    except msgspec.DecodeError as problem:
        raise UnfitAnswer(ask, "answer", f"it is no JSON ({problem})") from None


def to_json(value: Any) -> bytes:
    """Give a value as JSON.

    Raises:
        UsageError: it has no such form.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_dumped)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"{_name(type(value))} has no form in JSON ({problem})") from None


def allow_answers_of(type_: Any) -> None:
    """Let values of a type be stored as results, like those that annotations mention."""
    for cls in reachable([type_]):
        registry.allow(cls)


def _has_model(type_: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    if pydantic is None:
        return False
    return any(issubclass(one, pydantic.BaseModel) for one in reachable([type_]))


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put a type that only refers to its definition at the top, so that a reader sees at once what it is."""
    reference = schema.get("$ref")
    if set(schema) != {"$ref", "$defs"} or not isinstance(reference, str):
        return schema
    definitions = schema["$defs"]
    name = reference.rpartition("/")[2]
    others = definitions if reference in str(definitions) else {k: v for k, v in definitions.items() if k != name}
    return {**definitions[name], **({"$defs": others} if others else {})}


def _dumped(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", round_trip=True)  # pydantic: without what is computed from the rest
    raise TypeError(f"a {type(value).__name__} is none of JSON's kinds")


def _name(type_: Any) -> str:
    return getattr(type_, "__name__", None) or str(type_)
