"""P9: nothing stored is ever executed on load."""

from __future__ import annotations

import dataclasses
import enum
import sys
import types
from contextlib import suppress

import msgspec
import pydantic
import pytest

from regrow.codec import capture, decode, encode, rebuild, registry
from regrow.codec.codes import NAMED, Code
from regrow.codec.error_record import ErrorRecord
from regrow.errors import ForeignError, RegrowError, UsageError

pytestmark = [pytest.mark.security, pytest.mark.promise("P9")]

fired: list[str] = []


def trap(name):
    def spring(*_, **__):
        fired.append(name)

    return spring


class Meta(type):
    def __call__(cls, *args, **kwargs):
        fired.append("metaclass call")
        return super().__call__(*args, **kwargs)


@dataclasses.dataclass
class Evil(metaclass=Meta):
    a: int

    def __new__(cls, *_, **__):
        fired.append("new")
        return object.__new__(cls)

    def __post_init__(self):
        fired.append("post_init")

    __setstate__ = trap("setstate")
    __reduce__ = trap("reduce")

    def __setattr__(self, name, value):
        fired.append("setattr")
        object.__setattr__(self, name, value)


_evil_init = Evil.__init__


def _init(self, *args):
    fired.append("init")
    _evil_init(self, *args)


Evil.__init__ = _init


class EvilStruct(msgspec.Struct):
    a: int
    __post_init__ = trap("struct post_init")


class EvilModel(pydantic.BaseModel):
    a: int

    def __init__(self, **data):
        fired.append("model init")
        super().__init__(**data)

    @pydantic.field_validator("a")
    @classmethod
    def check(cls, value):
        fired.append("validator")
        return value

    def model_post_init(self, _):
        fired.append("model post_init")


class EvilError(Exception):
    def __new__(cls, *args):
        fired.append("error new")
        return super().__new__(cls, *args)

    def __init__(self, *args):
        fired.append("error init")
        super().__init__(*args)

    __setstate__ = trap("error setstate")


class EvilFlag(enum.Flag):
    ONE = 1

    @classmethod
    def _missing_(cls, value):
        fired.append("missing")
        return super()._missing_(value)


def step(a: Evil, b: EvilStruct, c: EvilModel, d: EvilFlag) -> EvilError: ...


registry.learn(step)


def made():
    return [
        (Evil, lambda: Evil(1)),
        (EvilStruct, lambda: EvilStruct(1)),
        (EvilModel, lambda: EvilModel(a=1)),
        (EvilError, lambda: EvilError(1)),
    ]


@pytest.fixture(autouse=True)
def _quiet():
    fired.clear()


@pytest.mark.parametrize(("cls", "make"), made(), ids=lambda v: getattr(v, "__name__", ""))
def test_constructors_of_listed_classes_are_not_called(cls, make):
    value = make()
    assert fired, "the control: making one springs the trap"
    data = encode(value)
    fired.clear()
    back = decode(data)
    assert fired == []
    assert type(back) is cls
    assert (back.args == (1,)) if cls is EvilError else (back.a == 1)


def payload(code, content):
    return b"\x01" + msgspec.msgpack.encode(msgspec.msgpack.Ext(int(code), msgspec.msgpack.encode(content)))


NAMES = [
    "os:system",
    "subprocess:Popen",
    "builtins:eval",
    "builtins:exec",
    "builtins:__import__",
    "importlib:import_module",
    "pickle:loads",
    "antigravity:x",
    "this:x",
    "haunted:Anything",
    "haunted:Anything.deeper",
    "regrow.codec.reading:decode",
]


@pytest.fixture
def haunted(monkeypatch):
    module = types.ModuleType("haunted")
    module.__getattr__ = lambda name: fired.append(f"module getattr {name}") or Evil
    monkeypatch.setitem(sys.modules, "haunted", module)
    _ = module.anything
    assert fired, "the control: an attribute access springs the trap"
    fired.clear()


@pytest.mark.usefixtures("haunted")
@pytest.mark.parametrize("name", NAMES)
def test_names_in_data_reach_nothing(name, monkeypatch):
    loaded = set(sys.modules)
    monkeypatch.setattr("os.system", trap("os.system"))
    monkeypatch.setattr("subprocess.Popen", type("Popen", (), {"__init__": trap("Popen")}))
    for code in NAMED:
        with pytest.raises(UsageError, match="not among the types of this code"):
            decode(payload(code, [name, {"a": 1, "args": "echo"}]))
    record = ErrorRecord(type=name, message="echo", args=encode(("echo",)))
    assert type(rebuild(record)) is ForeignError
    decode(payload(Code.EXCEPTION, msgspec.msgpack.encode(record)))
    with pytest.raises(RegrowError):
        decode(payload(Code.REFERENCE, name))
    assert fired == []
    assert set(sys.modules) - loaded == set(), "nothing was imported"


def test_a_class_is_not_read_as_another_kind():
    for code in NAMED - {Code.DATACLASS}:
        with pytest.raises(RegrowError):
            decode(payload(code, [f"{__name__}:Evil", {"a": 1}]))
    assert fired == []


def test_an_exception_name_cannot_make_another_class():
    for name in ("subprocess:Popen", f"{__name__}:Evil", "builtins:type", "builtins:object"):
        assert type(rebuild(ErrorRecord(type=name, message="m"))) is ForeignError
    assert fired == []


def test_enums_do_not_call_the_users_missing_hook():
    name = f"{__name__}:EvilFlag"
    with pytest.raises(RegrowError):
        decode(payload(Code.ENUM, [name, 77]))
    assert fired == []


def test_a_lazily_loaded_module_stays_unloaded(monkeypatch):
    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            fired.append(name)
            return super().__getattribute__(name)

    monkeypatch.setitem(sys.modules, "lazy_module", Lazy("lazy_module"))
    assert type(rebuild(ErrorRecord(type="lazy_module:Error", message="m"))) is ForeignError
    assert fired == []


def test_payloads_of_the_standard_library_take_no_objects():
    inner = msgspec.msgpack.Ext(int(Code.DATACLASS), msgspec.msgpack.encode([f"{__name__}:Evil", {"a": 1}]))
    for code in Code:
        for content in (inner, [inner], [inner, inner], [[inner]], ["", inner]):
            with suppress(RegrowError):
                decode(payload(code, content))
    assert fired == []


def test_time_zones_import_nothing():
    loaded = set(sys.modules)
    for key in ("../../etc/passwd", "/etc/passwd", "a.b/c", "os", "..", "subprocess/Popen", "x\0y"):
        with pytest.raises(RegrowError):
            decode(payload(Code.DATETIME, [2020, 1, 1, 0, 0, 0, 0, 0, key]))
    assert not {m for m in set(sys.modules) - loaded if not m.startswith(("tzdata", "importlib", "zoneinfo"))}


def test_capturing_an_exception_keeps_no_code():
    exc = ValueError(print, lambda: 1)
    record = capture(exc)
    assert all(isinstance(arg, str) for arg in rebuild(record).args)
