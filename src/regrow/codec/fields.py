"""Named fields, whatever kind of class they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from regrow.codec.naming import type_name
from regrow.codec.refusal import Refused
from regrow.errors import Corrupted

Lower = Callable[[object], object]


def lower_fields(names: Mapping[str, object], lower: Lower) -> dict[str, object]:
    """Lower each field, naming it where one is refused."""
    lowered: dict[str, object] = {}
    name = ""
    try:
        for name, value in names.items():
            lowered[name] = lower(value)
    except Refused as refused:
        refused.within(f".{name}")
        raise
    return lowered


def stored_fields(state: object) -> dict[str, Any]:
    """Check that a decoded state is a dict of fields."""
    if type(state) is not dict:
        msg = f"the fields of an instance are a {type(state).__name__}"
        raise Corrupted(msg)
    return state


def missing_field(cls: type, field: str) -> Corrupted:
    """Say that a record lacks a field that its class needs."""
    return Corrupted(
        f"a recorded {type_name(cls)} has no field {field!r}: "
        "give the field a default, so that older records can be read"
    )
