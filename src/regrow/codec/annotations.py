"""Which classes a function's annotations reach."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from types import SimpleNamespace
from typing import Any, cast

from regrow.codec.classes import code_of
from regrow.codec.codes import Code
from regrow.codec.naming import own_names


def globals_of(function: Callable[..., object]) -> dict[str, Any]:
    """Give the globals of the module that a function was written in."""
    return getattr(_plain(function), "__globals__", {})


def annotated_types(function: Callable[..., object]) -> set[type]:
    """Give the storable classes that a function's parameters and result can hold, however deep."""
    plain = _plain(function)
    return reachable(_hints(plain, globals_of(plain), _closure(plain)))


def classes_among(values: Iterable[object]) -> set[type]:
    """Give the storable classes among values, with those that their fields can hold.

    A subclass of str or int is left out unless an annotation names it: modules hold many that are no data.
    """
    found = [v for v in values if issubclass(type(v), type) and code_of(v) not in {None, Code.SCALAR}]  # type: ignore[arg-type]
    return reachable(found)


def reachable(roots: Iterable[object]) -> set[type]:
    """Give the storable classes in annotations: through unions, generics, aliases and the fields of classes."""
    found: set[type] = set()
    pending = list(roots)
    seen: dict[int, object] = {}  # keeps what it has seen alive, so that no id is met twice
    while pending:
        hint = pending.pop()
        if id(hint) in seen:
            continue
        seen[id(hint)] = hint
        if issubclass(type(hint), type):
            cls = cast("type", hint)
            if code_of(cls) is not None:
                found.add(cls)
            if code_of(cls) is not None or typing.is_typeddict(cls):
                pending.extend(_hints(cls, None, None))
            pending.extend(_model_arguments(cls))
        else:
            pending.extend(_parts(hint))
    return found


def _parts(hint: object) -> Iterator[object]:
    yield from typing.get_args(hint)
    yield typing.get_origin(hint)
    if isinstance(hint, (list, tuple)):  # the parameters of a Callable
        yield from hint
    if isinstance(hint, Enum):  # inside a Literal
        yield type(hint)
    if isinstance(hint, typing.TypeVar):
        yield hint.__bound__
        yield from hint.__constraints__
    for alias in ("__supertype__", "__value__"):  # NewType; the type statement
        if type(hint).__module__ == "typing" and hasattr(hint, alias):
            yield getattr(hint, alias)


def _model_arguments(cls: type) -> Iterable[object]:
    """Give T of a pydantic ``Model[T]``, which is a class of its own rather than a generic alias."""
    metadata = own_names(cls).get("__pydantic_generic_metadata__")
    return () if not metadata else (metadata["origin"], *metadata["args"])


def _plain(function: Callable[..., object]) -> Callable[..., object]:
    inner = inspect.unwrap(function)
    return cast("Callable[..., object]", getattr(inner, "__func__", inner))


def _closure(function: object) -> dict[str, object]:
    """Give what a function defined inside another sees there: its annotations may name classes defined there too."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None or not cells:
        return {}
    values = {}
    for name, cell in zip(code.co_freevars, cells, strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return values


def _hints(
    owner: Any,
    global_names: dict[str, Any] | None,
    local_names: dict[str, Any] | None,
) -> list[object]:
    try:
        return list(typing.get_type_hints(owner, global_names, local_names, include_extras=True).values())
    except Exception:  # noqa: BLE001 - an annotation may be any expression
        # One that cannot be resolved (a name imported for type checkers only) must not hide the others.
        return list(_one_by_one(owner, global_names, local_names))


def _one_by_one(
    owner: Any,
    global_names: dict[str, Any] | None,
    local_names: dict[str, Any] | None,
) -> Iterator[object]:
    for base in reversed(owner.__mro__) if isinstance(owner, type) else [owner]:
        names = global_names
        if names is None:
            module = inspect.getmodule(base)
            names = {} if module is None else vars(module)
        try:
            own = own_names(base).get("__annotations__", {}) if isinstance(base, type) else base.__annotations__
            annotations = dict(own)
        except Exception:  # noqa: BLE001, S112 - from Python 3.14 on reading them evaluates them
            continue
        for name, hint in annotations.items():
            holder = SimpleNamespace(__annotations__={name: hint})
            try:
                yield from typing.get_type_hints(holder, names, local_names, include_extras=True).values()
            except Exception:  # noqa: BLE001, S112 - see above
                continue
