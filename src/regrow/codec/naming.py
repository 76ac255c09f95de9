"""Names of classes and functions in stored bytes, and finding them again without running anything."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

_MAIN = frozenset({"__main__", "__mp_main__"})


def module_alias(obj: object) -> str:
    """Name the module of a class or function as another process would import it.

    ``__main__`` means another file in each process, so a script is named by its file's stem, a ``-m`` module by its
    real name, and only a notebook or prompt, which nothing can import, stays ``__main__``.

    Args:
        obj: a class or function.
    """
    module = getattr(obj, "__module__", None)
    if not isinstance(module, str):
        return "builtins"
    return main_alias() if module in _MAIN else module


def main_alias() -> str:
    """Name this process's ``__main__`` module."""
    # In a child of multiprocessing's spawn, a script is the latter while it is loaded, and both afterwards.
    for main in (sys.modules.get("__main__"), sys.modules.get("__mp_main__")):
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            return str(spec.name)
        file = getattr(main, "__file__", None)
        if file:
            return _stem(file)
    return "__main__"


@functools.cache  # asked for each instance that is read
def _stem(file: str) -> str:
    return Path(file).stem


def type_name(cls: type) -> str:
    """Name a class as ``module:qualname``."""
    return f"{module_alias(cls)}:{cls.__qualname__}"


def loaded_class(name: str) -> type | None:
    """Find a class by name among those that this process has already loaded.

    Looks only into dictionaries: an attribute access could run a module's ``__getattr__`` or a descriptor, and an
    import would run a whole module, by a name that came out of data.

    Args:
        name: what `type_name` gave.
    """
    module_name, _, qualname = name.partition(":")
    modules = [sys.modules.get(module_name)]
    if module_name == main_alias():
        modules.append(sys.modules.get("__main__"))
    for module in modules:
        if issubclass(type(module), ModuleType):
            # Not vars(module): a lazily loaded module would load itself at any ordinary attribute access.
            found = _walk(object.__getattribute__(module, "__dict__"), qualname.split("."))
            if found is not None:
                return found
    return None


def _walk(names: Mapping[str, Any], parts: list[str]) -> type | None:
    found: Any = None
    for part in parts:
        found = names.get(part)
        if not issubclass(type(found), type):
            return None
        names = own_names(found)
    return found  # type: ignore[no-any-return]


def own_names(cls: type) -> Mapping[str, Any]:
    """Give a class's own namespace, past any metaclass that overrides attribute access."""
    return type.__dict__["__dict__"].__get__(cls)  # type: ignore[no-any-return]


def lineage(cls: type) -> tuple[type, ...]:
    """Give a class's MRO, past any metaclass that overrides attribute access."""
    return type.__dict__["__mro__"].__get__(cls)  # type: ignore[no-any-return]
