"""What the result of a function depends on, besides its inputs: a digest of all code and constants that it can reach.

From the function on, everything is followed that is the user's own: what it calls, methods of classes that it names,
globals, closures, defaults, and what is wrapped by decorators. A library counts by its name and version, a value
without a durable form (a lock, a client of some library) by its type alone. What is reached in no such way is not seen:
names that are put together at run time, registries in foreign objects, what a C extension does. `Cache.version` is for
those.

The walk is made anew for each call, since any of it may have changed: a global was set, a dict was added to. Only what
cannot change, a code object, is read once. That costs some ten microseconds for each function and constant reached; a
cache that serves what was computed by other code costs more.
"""

from __future__ import annotations

import builtins
import enum
import functools
import importlib
import importlib.util
import operator
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

import msgspec

from regrow.authoring.bytecode import Import, read
from regrow.codec.frames import is_own
from regrow.codec.naming import own_names, type_name
from regrow.codec.refusal import Refused
from regrow.codec.writer import Writer, pack_sorted
from regrow.codec.writing import is_plain
from regrow.errors import UsageError

MOST_OBJECTS = 20_000
"""Whoever reaches more has got hold of something that is no constant, such as an application with all its state."""

_UNSEEN = frozenset({
    "__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__", "__annotate__",
    "__annotate_func__", "__annotations_cache__", "__dataclass_params__", "__signature__", "__abstractmethods__",
    "_abc_impl", "__parameters__", "__match_args__", "__hash__", "__classdictcell__",
})  # fmt: skip
"""Members of a class that follow from the others, or are about where it stands."""
_METHODS = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property)
_REDUCED = (operator.itemgetter, operator.attrgetter, operator.methodcaller)
"""What has no durable form and yet says all of itself when it is pickled."""


class TooMuch(Exception):
    """A function reaches more objects than can be looked at for each call."""


def fingerprint(function: Callable[..., Any], ignored: Collection[str] = ()) -> bytes:
    """Give a digest of all that a function's result depends on besides its inputs.

    Args:
        function: as its author wrote it.
        ignored: names of globals, and of what functions are closed over, that are not followed wherever they are read.

    Raises:
        TooMuch: it reaches more than `MOST_OBJECTS`.
        UsageError: an ignored name is read nowhere.
    """
    walk = _Walk(frozenset(ignored))
    walk.refer(function)
    hasher = blake2b(repr(sys.version_info[:2]).encode(), digest_size=16)
    for description in walk.descriptions():
        hasher.update(msgspec.msgpack.encode(description))
    for name in walk.unmet:
        raise UsageError(f"Cache(ignore=…): {name!r} is no parameter of it, and no global that it reads")
    return hasher.digest()


class _Walk:
    """One walk over what can be reached. Each object is described once, and referred to by the number of its turn.

    Attributes:
        unmet: the ignored names that were not met so far.
    """

    def __init__(self, ignored: frozenset[str]) -> None:
        self.unmet = set(ignored)
        self._ignored = ignored
        self._numbers: dict[int, int] = {}
        self._kept: list[object] = []  # or the id of one that was made on the way would be given to another
        self._waiting: deque[object] = deque()

    def descriptions(self) -> Any:
        """Describe what was referred to, what that refers to, and so on."""
        while self._waiting:
            yield self._describe(self._waiting.popleft())

    def refer(self, value: object) -> object:
        """Give what stands for a value in the description of another: a plain one itself, any other by number."""
        kind = type(value)
        if kind in _SCALARS:
            return (kind.__name__, _exactly(value))
        if kind in (list, dict) and is_plain(value):
            try:
                return (kind.__name__, blake2b(pack_sorted(value), digest_size=16).digest())
            except (OverflowError, UnicodeEncodeError):
                pass  # it is taken apart
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._kept)
            if number == MOST_OBJECTS:
                raise TooMuch(f"it reaches more than {MOST_OBJECTS} functions, classes and values")
            self._kept.append(value)
            self._waiting.append(value)
        return number

    def _describe(self, value: Any) -> object:  # noqa: C901 - one arm for each sort of thing
        match value:
            case types.FunctionType():
                return self._function(value)
            case type():
                return self._class(value)
            case types.ModuleType():
                return self._module(value)
            case types.MethodType():
                return ("method", self.refer(value.__func__), self.refer(value.__self__))
            case types.BuiltinFunctionType():
                owner = None if isinstance(value.__self__, types.ModuleType) else self.refer(value.__self__)
                return ("builtin", str(value.__module__), value.__qualname__, owner)
            case staticmethod() | classmethod():
                return (type(value).__name__, self.refer(value.__func__))
            case property():
                return ("property", self.refer(value.fget), self.refer(value.fset), self.refer(value.fdel))
            case functools.cached_property():
                return ("cached property", self.refer(value.func))
            case functools.partial() | functools.partialmethod():
                return ("partial", self.refer(value.func), self.refer(value.args), self.refer(value.keywords))
            case Field():
                return ("field", self._default(value.default), self._default(value.default_factory))
            case enum.Enum():
                return ("member", self.refer(type(value)), value.name, self.refer(value.value))
            case re.Pattern():
                return ("pattern", self.refer(value.pattern), value.flags)
            case types.GenericAlias() | types.UnionType():
                return ("generic", self._all((getattr(value, "__origin__", None), *value.__args__)))
            case _:
                return self._instance(value)

    def _instance(self, value: Any) -> object:
        kind = type(value)
        if isinstance(value, list | tuple | set | frozenset | dict | types.MappingProxyType):
            return self._container(value, kind)
        state = _state_of(value)
        if "__wrapped__" in state:
            return ("wrapper", type_name(kind), self.refer(state["__wrapped__"]))
        if isinstance(value, _REDUCED):
            return ("value", type_name(kind), self._all(value.__reduce__()[1]))
        if hasattr(kind, "__origin__") or (kind.__module__ == "typing" and hasattr(value, "__args__")):
            return ("generic", self._all((value.__origin__, *value.__args__)))
        if _is_own_class(kind):
            base = next((one for one in (int, float, str, bytes) if isinstance(value, one)), None)
            plain = None if base is None else _exactly(base(value))  # past any __repr__ of its own
            return ("instance", self.refer(kind), plain, self._names(state))
        writer = Writer(canonical=True, allow_opaque=True)
        try:
            data = writer.envelope(value)
        except Refused:
            data = b""
        known = bool(data) and (writer.portable or kind.__module__.partition(".")[0] == "regrow")
        return ("value", type_name(kind), _version_of(kind.__module__), data if known else None)

    def _function(self, function: types.FunctionType) -> object:
        code = function.__code__
        wrapped = function.__dict__.get("__wrapped__")
        if not is_own(code.co_filename):
            foreign = [self.refer(one) for one in _callables_in(function)]
            return ("foreign", *_foreign(function), None if wrapped is None else self.refer(wrapped), foreign)
        facts = read(code)
        return (
            "function",
            facts.shape,
            self._all(function.__defaults__ or ()),
            self._names(function.__kwdefaults__ or {}),
            [self._cell(*one) for one in zip(code.co_freevars, function.__closure__ or (), strict=True)],
            [self._global(chain, function.__globals__) for chain in facts.names],
            [self._import(one, function.__globals__) for one in facts.imports],
            None if wrapped is None else self.refer(wrapped),
        )

    def _cell(self, name: str, cell: types.CellType) -> object:
        if name in self._ignored:
            self.unmet.discard(name)
            return name
        try:
            return self.refer(cell.cell_contents)
        except ValueError:  # nothing is in it yet
            return None

    def _global(self, chain: tuple[str, ...], names: Mapping[str, Any]) -> object:
        """Follow a name through the user's own modules as far as it goes: all of a module is seldom meant."""
        if not self._ignored.isdisjoint(chain):
            self.unmet.difference_update(chain)
            return chain
        if chain[0] not in names:
            return (chain[0], hasattr(builtins, chain[0]))
        value = names[chain[0]]
        for name in chain[1:]:
            if isinstance(value, types.ModuleType) and name in vars(value) and _is_own_module(value.__name__):
                value = vars(value)[name]
            elif isinstance(value, types.FunctionType) and name in vars(value):
                return (chain, self.refer(value), self.refer(vars(value)[name]))
            else:
                break
        return (chain, self.refer(value))

    def _import(self, wanted: Import, names: Mapping[str, Any]) -> object:
        """Follow an import inside a function, by carrying it out as the function would."""
        module = _imported(wanted, names)
        if module is None:
            return (wanted.module, "not there")
        if not wanted.names or not _is_own_module(module.__name__):
            return self.refer(module)
        return [self.refer(vars(module).get(name)) for name in wanted.names]

    def _module(self, module: types.ModuleType) -> object:
        """Describe a module that is not asked for one name: the user's own by its text."""
        name = module.__name__
        if not _is_own_module(name):
            return ("module", name, _version_of(name))
        file = getattr(module, "__file__", None)
        try:
            with Path(file or "").open("rb") as text:
                return ("own module", file_digest(text, "sha256").digest())
        except OSError:  # a notebook, a zip file
            return ("own module", name)

    def _class(self, cls: type) -> object:
        if not _is_own_class(cls):
            return ("foreign", *_foreign(cls))
        members = own_names(cls)
        bases = self._all((type(cls), *cls.__bases__))
        if issubclass(cls, enum.Enum):
            values = [(name, self.refer(member.value)) for name, member in cls.__members__.items()]
            methods = {name: one for name, one in members.items() if isinstance(one, _METHODS)}
            return ("enum", cls.__qualname__, bases, values, self._names(methods))
        # What frameworks make of a class body, and take out of it, as far as it says what an instance is like.
        made = [(name, self._default(one)) for name, one in _fields_of(members)]
        made.append(("", self._all(getattr(cls, "__struct_defaults__", ()))))
        return ("class", cls.__qualname__, bases, self._names(members), made)

    def _container(self, value: Any, kind: type) -> object:
        if isinstance(value, dict | types.MappingProxyType):
            pairs = [(self.refer(key), self.refer(one)) for key, one in dict(value).items()]
            return (kind.__qualname__, pairs)
        if isinstance(value, set | frozenset):
            # A set of objects has no order that would be the same elsewhere.
            elements = [(type_name(type(one)), repr(one) if type(one) in _SCALARS else "") for one in value]
            return (kind.__qualname__, sorted(elements))
        return (kind.__qualname__, self._all(tuple(value)))

    def _all(self, values: Any) -> list[object]:
        return [self.refer(value) for value in values]

    def _names(self, values: Mapping[str, Any]) -> list[object]:
        seen = sorted(name for name in dict(values) if name not in _UNSEEN and not name.startswith("__pydantic_"))
        return [(name, _SLOT if isinstance(values[name], _SLOTS) else self.refer(values[name])) for name in seen]

    def _default(self, value: object) -> object:
        unset = value is MISSING or type(value).__name__ == "PydanticUndefinedType"
        return None if unset else self.refer(value)


_SCALARS = (type(None), bool, int, float, complex, str, bytes, type(...))
_SLOT = "slot"
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType)


def _exactly(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    text = hex(value) if type(value) is int else repr(value)  # decimals of a large one are refused
    return text.encode("utf-8", "backslashreplace")


def _state_of(value: object) -> dict[str, Any]:
    """Give what an object holds, past any ``__getattr__`` of its own."""
    try:
        state = dict(object.__getattribute__(value, "__dict__"))
    except (AttributeError, TypeError):
        state = {}
    for cls in type(value).__mro__:
        for name, member in own_names(cls).items():
            if isinstance(member, types.MemberDescriptorType) and _is_own_class(cls):
                try:
                    state[name] = member.__get__(value, cls)
                except AttributeError:  # a slot that is empty
                    continue
    return state


def _fields_of(members: Mapping[str, Any]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, field in dict(members.get("__pydantic_fields__") or members.get("model_fields") or {}).items():
        found += [(name, getattr(field, "default", None)), (name, getattr(field, "default_factory", None))]
    return found


def _callables_in(function: types.FunctionType) -> list[object]:
    """Give the functions that a foreign one holds, such as one that a decorator has wrapped without saying so.

    Nothing else of what it holds: that is a library's own state, and may change with every call.
    """
    held: list[object] = []
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        held.extend(content.values() if isinstance(content, dict) else [content])  # single dispatch has a dict of them
    return [one for one in held if isinstance(one, types.FunctionType | types.MethodType | functools.partial)]


def _foreign(thing: Any) -> tuple[str, str, str]:
    module = str(getattr(thing, "__module__", ""))
    return module, str(thing.__qualname__), _version_of(module)


def _is_own_class(cls: type) -> bool:
    return _is_own_module(str(cls.__module__))


def _is_own_module(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is not None:
        return is_own(file)
    return name.partition(".")[0] not in sys.stdlib_module_names and name not in sys.builtin_module_names


def _imported(wanted: Import, names: Mapping[str, Any]) -> types.ModuleType | None:
    name = wanted.module
    try:
        if wanted.level:
            name = importlib.util.resolve_name("." * wanted.level + name, str(names.get("__package__") or ""))
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            return None
        return importlib.import_module(name) if is_own(spec.origin) else types.ModuleType(name)
    except Exception:  # noqa: BLE001 - the user's own module may raise anything; the function will meet it, or handles it
        return None


@functools.cache
def _version_of(module: str) -> str:
    """Give the version of the distribution that a module is from, empty for the standard library."""
    from importlib import metadata  # noqa: PLC0415 - takes long to load, and most functions need none

    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return ""
    try:
        return metadata.version(top)
    except (metadata.PackageNotFoundError, ValueError):
        found = _distributions().get(top, ())
        return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(set(found)))


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    from importlib import metadata  # noqa: PLC0415 - as above

    return metadata.packages_distributions()
