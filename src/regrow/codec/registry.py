"""The allow-list: which classes may be stored, and which name in stored bytes means which class.

A name in data only ever selects among these. They come from the code itself: the annotations of its steps and tasks,
the data classes in their modules, and what `TypeRegistry.allow` was told. Working that out costs milliseconds, so it is
done when the first such value turns up, and again only when a class is not found and the code has grown since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from regrow.codec.annotations import annotated_types, classes_among, globals_of
from regrow.codec.classes import code_of
from regrow.codec.naming import loaded_class, main_alias, type_name
from regrow.errors import UsageError

T = TypeVar("T", bound=type)


class _Module:
    """A module that has learned functions: what is known of it, and how large it was then."""

    __slots__ = ("functions", "names", "size")

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.functions: list[Callable[..., object]] = []
        self.size = -1


class TypeRegistry:
    """Classes by name, and names by class.

    Attributes:
        references: regrow's own objects (tasks, steps) by the name that stands for them in data.
    """

    def __init__(self) -> None:
        self.references: dict[str, object] = {}
        self._pending: list[Callable[..., object]] = []
        self._modules: dict[int, _Module] = {}
        self._types: dict[str, type] = {}
        self._names: dict[type, str] = {}
        self._lock = threading.RLock()

    def learn(self, function: Callable[..., object]) -> None:
        """Take a step or task into account. Costs nothing until a class is looked for.

        Args:
            function: the function as the user wrote it.
        """
        self._pending.append(function)

    def allow(self, cls: T) -> T:
        """Let instances of a class be stored.

        Args:
            cls: a dataclass, pydantic model, msgspec Struct, named tuple, Enum, exception, or a subclass of str, int,
                float or bytes.

        Returns:
            The class, so that this can stand above it as a decorator.

        Raises:
            UsageError: it is none of these.
        """
        if code_of(cls) is None:
            msg = f"{type_name(cls)} cannot be made storable as it is: make it a dataclass"
            raise UsageError(msg)
        with self._lock:
            self._add(cls)
        return cls

    def refer(self, name: str, obj: object) -> None:
        """Let a name in data stand for one of regrow's own objects.

        Args:
            name: its ``__regrow_ref__``.
            obj: the object.
        """
        self.references[name] = obj

    def name_of(self, cls: type) -> str | None:
        """Give the name that stands for a class in data; None if it is not on the list.

        Args:
            cls: any class.
        """
        name = self._names.get(cls)
        if name is None and self._grow():
            name = self._names.get(cls)
        if name is None and self._redefined(type_name(cls)) is cls:
            name = self._names.get(cls)
        return name

    def find(self, name: str) -> type | None:
        """Give the class that a name in data stands for; None if there is none on the list.

        Args:
            name: as `name_of` gave it, in this process or an earlier one.
        """
        if self._pending:
            self._grow()
        cls = self._types.get(name)
        if cls is None and self._grow():
            cls = self._types.get(name)
        if cls is not None and name.startswith(f"{main_alias()}:"):
            return self._redefined(name) or cls
        return cls

    def _add(self, cls: type) -> None:
        name = type_name(cls)
        self._names[cls] = name
        self._types[name] = cls

    def _redefined(self, name: str) -> type | None:
        """Take over a class whose definition was run again (a notebook's cell, a reload): sizes do not show that."""
        if name not in self._types:
            return None
        cls = loaded_class(name)
        if cls is None or code_of(cls) is None:
            return None
        if self._types[name] is not cls:
            with self._lock:
                self._add(cls)
        return cls

    def _grow(self) -> bool:
        """Work in functions and module globals that are new since the last time; tell whether there were any."""
        with self._lock:
            while self._pending:
                function = self._pending.pop(0)
                names = globals_of(function)
                self._modules.setdefault(id(names), _Module(names)).functions.append(function)
            grown = False
            for module in self._modules.values():
                # Functions too are looked at again: what their annotations name may have been defined below them.
                size = len(module.names) + len(module.functions)
                if size == module.size:
                    continue
                module.size, grown = size, True
                found = classes_among(tuple(module.names.values()))
                for function in module.functions:
                    found |= annotated_types(function)
                for cls in found:
                    if cls not in self._names:
                        self._add(cls)
            return grown


registry: Final = TypeRegistry()
"""The process's one."""
