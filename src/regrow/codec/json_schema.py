"""Whether a value from JSON is what a schema asks for, and which field is not.

Only for schemas that regrow has derived from a type (`regrow.codec.json_types`), and only to tell a person early: the
type itself has the last word, in the process that runs the code. So what is not known here is left to that. Patterns
are left out on purpose: a schema comes from a store, and a pattern can be made to run for hours.

The library `jsonschema` was rejected: five packages, one of them compiled, for what is a screen of code here. One that
generates code from a schema (`fastjsonschema`) would execute what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from regrow.errors import UnfitAnswer

Schema = Mapping[str, Any]

_DEPTH: Final = 64
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}
_ARTICLES: Final = {
    "boolean": "true or false",
    "integer": "a whole number",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def check(value: Any, schema: Schema, *, where: str = "answer", ask: str = "") -> None:
    """Hold a value against a schema.

    Args:
        value: as `json.loads` gives it.
        schema: what it must be.
        where: how errors name the value.
        ask: the question that it answers.

    Raises:
        UnfitAnswer: it is something else; names the field.
    """
    problem = _problem(value, schema, schema, where, _DEPTH)
    if problem is not None:
        raise UnfitAnswer(ask, *problem)


_Problem = tuple[str, str] | None


def _problem(value: Any, schema: Any, root: Schema, where: str, depth: int) -> _Problem:
    if not isinstance(schema, Mapping) or depth == 0:
        return None
    if "$ref" in schema:
        return _problem(value, _referred(schema["$ref"], root), root, where, depth - 1)
    for wanted in schema.get("allOf", ()):
        if problem := _problem(value, wanted, root, where, depth - 1):
            return problem
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        problems = [_problem(value, option, root, where, depth - 1) for option in options]
        if None not in problems:
            return _closest(problems, where, value, options, root)
    return (
        _wrong_type(value, schema, where)
        or _not_listed(value, schema, where)
        or _out_of_bounds(value, schema, where)
        or _in_parts(value, schema, root, where, depth)
    )


def _referred(reference: object, root: Schema) -> Any:
    found: Any = root
    for part in str(reference).removeprefix("#").split("/")[1:]:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _closest(problems: list[_Problem], where: str, value: Any, options: Any, root: Schema) -> _Problem:
    """Of the problems that a value has with each of several types, give the one that lies deepest in it."""
    deepest = max((one for one in problems if one is not None), key=lambda one: len(one[0]))
    if len(deepest[0]) > len(where):
        return deepest
    return where, f"it must be {' or '.join(_said(option, root) for option in options)}; it is {_shown(value)}"


def _wrong_type(value: Any, schema: Schema, where: str) -> _Problem:
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not isinstance(kinds, list) or any(_is(value, kind) for kind in kinds):
        return None
    return where, f"it must be {' or '.join(map(_named, kinds))}; it is {_shown(value)}"


def _is(value: Any, kind: object) -> bool:
    classes = _TYPES.get(str(kind))
    if classes is None:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, classes) or (kind == "integer" and isinstance(value, float) and value.is_integer())


def _not_listed(value: Any, schema: Schema, where: str) -> _Problem:
    listed = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(listed, list) or any(type(one) is type(value) and one == value for one in listed):
        return None
    return where, f"it must be {_one_of(listed)}; it is {_shown(value)}"


def _out_of_bounds(value: Any, schema: Schema, where: str) -> _Problem:
    bounds: tuple[tuple[str, bool, str], ...] = ()
    if isinstance(value, int | float) and not isinstance(value, bool):
        bounds = (
            ("minimum", value < schema.get("minimum", value), "at least"),
            ("maximum", value > schema.get("maximum", value), "at most"),
            ("exclusiveMinimum", value <= schema.get("exclusiveMinimum", value - 1), "more than"),
            ("exclusiveMaximum", value >= schema.get("exclusiveMaximum", value + 1), "less than"),
        )
    elif isinstance(value, str | list):
        sort, unit = ("Length", "characters") if isinstance(value, str) else ("Items", "items")
        for name, broken, word in (
            (f"min{sort}", len(value) < schema.get(f"min{sort}", 0), "at least"),
            (f"max{sort}", len(value) > schema.get(f"max{sort}", len(value)), "at most"),
        ):
            if broken:
                return where, f"it must have {word} {schema[name]} {unit}; it has {len(value)}"
    for name, broken, word in bounds:
        if broken:
            return where, f"it must be {word} {schema[name]}; it is {_shown(value)}"
    return None


def _in_parts(value: Any, schema: Schema, root: Schema, where: str, depth: int) -> _Problem:
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        for index, item in enumerate(value):
            wanted = first[index] if index < len(first) else schema.get("items")
            if wanted is False:
                return where, f"it must have at most {len(first)} items; it has {len(value)}"
            if problem := _problem(item, wanted, root, f"{where}[{index}]", depth - 1):
                return problem
        return None
    if not isinstance(value, dict):
        return None
    known = schema.get("properties", {})
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        return f"{where}.{missing[0]}", "it is missing"
    # The schema of a class says nothing of fields that it does not have. To a person they are slips: with one let pass,
    # a default would be taken for their answer.
    others = schema.get("additionalProperties", "properties" not in schema or "patternProperties" in schema)
    for name, part in value.items():
        wanted = known.get(name, others)
        if wanted is False:
            return f"{where}.{name}", f"there is no such field; there are {', '.join(known) or 'none'}"
        if problem := _problem(part, wanted, root, f"{where}.{name}", depth - 1):
            return problem
    return None


def _named(kind: object) -> str:
    return _ARTICLES.get(str(kind), f"a {kind}")


def _said(schema: Any, root: Schema) -> str:
    if isinstance(schema, Mapping) and "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        schema = _referred(schema["$ref"], root)
        if isinstance(schema, Mapping) and "enum" not in schema:
            return name
    if not isinstance(schema, Mapping):
        return "anything"
    if "const" in schema or "enum" in schema:
        return _one_of([schema["const"]] if "const" in schema else schema["enum"])
    return _named(schema.get("type", "value"))


def _one_of(listed: list[Any]) -> str:
    return " or ".join(json.dumps(one, ensure_ascii=False) for one in listed)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    longest = 60
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
