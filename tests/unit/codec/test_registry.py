from __future__ import annotations

import dataclasses
import sys
import types
from typing import Annotated, Generic, Literal, NewType, TypedDict, TypeVar

import pytest

from regrow.codec import TypeRegistry, module_alias
from regrow.codec.annotations import annotated_types
from regrow.errors import UsageError

pytestmark = pytest.mark.unit

T = TypeVar("T")


@dataclasses.dataclass
class Leaf:
    a: int


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class Row(TypedDict):
    leaf: Leaf


Alias = NewType("Alias", Leaf)


def test_annotations_reach_through_everything(shapes):
    def f(a: Box[list[Leaf | None]], b: Annotated[Alias, 1], c: Literal[1], d: Missing, *, e: Row) -> None: ...  # noqa: F821

    assert annotated_types(f) == {Box, Leaf}

    @dataclasses.dataclass
    class Local:
        leaf: Leaf

    def g() -> Local:
        return Local

    assert annotated_types(g) >= {Local, Leaf}


def module(name, source):
    made = types.ModuleType(name)
    sys.modules[name] = made
    exec(source, made.__dict__)
    return made


SOURCE = "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int\ndef f(): ...\n"


def test_globals_that_come_later_are_found(monkeypatch):
    registry = TypeRegistry()
    m = module("late_module", SOURCE)
    registry.learn(m.f)
    assert registry.name_of(m.A) == "late_module:A"
    exec("@dataclasses.dataclass\nclass B:\n    x: int\n", m.__dict__)
    assert registry.name_of(m.B) == "late_module:B"
    assert registry.find("late_module:B") is m.B
    old = m.A
    exec("@dataclasses.dataclass\nclass A:\n    x: int\n    y: int = 1\n", m.__dict__)  # a cell run again
    assert m.A is not old
    assert registry.name_of(m.A) == "late_module:A"
    assert registry.find("late_module:A") is m.A


def test_names_out_of_data_select_only_among_listed_classes():
    registry = TypeRegistry()
    registry.learn(module("listed_module", SOURCE).f)
    for name in (
        "os:system",
        "subprocess:Popen",
        "builtins:eval",
        "listed_module:f",
        "listed_module:A.__init__",
        "",
        ":",
        "x",
    ):
        assert registry.find(name) is None


def test_scripts_are_named_by_their_file(monkeypatch):
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setitem(sys.modules, "__mp_main__", main)  # as multiprocessing has it, once that is imported
    cls = type("C", (), {"__module__": "__main__"})
    main.__spec__ = None
    assert module_alias(cls) == "__main__"
    main.__file__ = "/x/agent.py"
    assert module_alias(cls) == "agent"
    main.__spec__ = types.SimpleNamespace(name="pkg.agent")
    assert module_alias(cls) == "pkg.agent"


def test_what_cannot_be_allowed():
    with pytest.raises(UsageError, match="make it a dataclass"):
        TypeRegistry().allow(object)
