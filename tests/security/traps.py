"""Classes that note whatever of theirs runs, and a watch over what else does.

They are on the allow-list, so that their names in hostile bytes reach as far as any can.
"""

import dataclasses
import enum
import sys
import threading
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from regrow.codec import registry

fired: list[str] = []
"""What of the classes below has run. `__hash__` and `__eq__` may, by the codec's own word, and are left alone."""
_HOOKS = (
    "__init__", "__post_init__", "__setstate__", "__reduce__", "__reduce_ex__", "__setattr__", "__getattr__",
    "__iter__", "__next__", "__len__", "__bool__", "__contains__", "__getitem__", "__call__",
    "__str__", "__repr__", "__format__", "__bytes__", "__index__", "__int__", "__float__", "__complex__", "__fspath__",
    "__array__", "keys", "items", "get",
)  # fmt: skip


def trapped(cls, *, spare=()):
    """Let a class note each of its methods that runs; the methods do what they would have done."""

    def hook(name):
        former = getattr(cls, name, None)

        def spring(self, *args, **kwargs):
            fired.append(f"{cls.__name__}.{name}")
            if former is not None:
                return former(self, *args, **kwargs)
            raise AttributeError(name)

        return spring

    for name in _HOOKS:
        if name not in spare:
            setattr(cls, name, hook(name))
    return cls


@trapped
@dataclasses.dataclass(eq=False)
class TrapData:
    a: object
    b: object = None


@trapped
@dataclasses.dataclass(frozen=True, slots=True)
class TrapFrozen:
    a: object


class TrapTuple(NamedTuple):
    a: object
    b: object = 1


class TrapStruct(msgspec.Struct):
    a: object
    b: object = None

    def __post_init__(self):
        fired.append("TrapStruct.__post_init__")

    def __iter__(self):
        fired.append("TrapStruct.__iter__")
        return iter(())


class TrapText(str):
    __slots__ = ()

    def __str__(self):
        fired.append("TrapText.__str__")
        return "text"


class TrapError(Exception):
    def __init__(self, *args):
        fired.append("TrapError.__init__")
        super().__init__(*args)

    @property
    def watched(self):
        fired.append("TrapError.watched")

    @watched.setter
    def watched(self, _):
        fired.append("TrapError.watched set")


class TrapEnum(enum.Flag):
    ONE = 1
    TWO = 2

    @classmethod
    def _missing_(cls, value):
        fired.append("TrapEnum._missing_")
        return super()._missing_(value)


try:
    import pydantic
except ImportError:
    models: list[Any] = []
else:

    class TrapModel(pydantic.BaseModel):
        a: object = None

        def model_post_init(self, _):
            fired.append("TrapModel.model_post_init")

        def __iter__(self):
            fired.append("TrapModel.__iter__")
            return super().__iter__()

    models = [TrapModel(a=1)]


def step(a: TrapData | TrapFrozen | TrapTuple | TrapStruct, b: TrapText | TrapEnum) -> TrapError: ...


registry.learn(step)
for _model in models:
    registry.allow(type(_model))


# -- what is watched ---------------------------------------------------------------------------------------------------

_FORBIDDEN = (
    "import", "exec", "open", "os.", "subprocess.", "socket.", "ctypes.", "pickle.", "marshal.", "shutil.", "code.",
    "function.", "mmap.", "builtins.input", "pty.",
)  # fmt: skip
_HARMLESS = ("os.listdir", "os.scandir")  # of the package tzdata, by zoneinfo
_watched_thread = 0
"""Other threads may do as they like: an earlier test's host still beats."""
seen: list[str] = []


def _audit(event, args):
    if threading.get_ident() == _watched_thread and event.startswith(_FORBIDDEN) and event not in _HARMLESS:
        what = f"{event} {args[0] if args else ''}"
        if "tzdata" not in what and "zoneinfo" not in what:  # a time zone is a file, found by a key that was checked
            seen.append(what[:200])


sys.addaudithook(_audit)


@contextmanager
def watched():
    """Give what runs meanwhile and must not: methods of stored classes, imports, files, processes."""
    global _watched_thread  # noqa: PLW0603 - an audit hook is for ever, and has nobody to ask but the module
    registry.find("")  # what the list has to learn from new code, it learns before: that evaluates its annotations
    fired.clear()
    seen.clear()
    found: list[str] = []
    _watched_thread = threading.get_ident()
    try:
        yield found
    finally:
        _watched_thread = 0
        found += fired + seen
