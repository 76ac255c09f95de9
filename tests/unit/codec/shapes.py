"""Classes of every kind that the codec stores, in a module of their own as users have them."""

from __future__ import annotations

import dataclasses
import enum
from functools import cached_property
from typing import NamedTuple

import msgspec
import pydantic


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


@dataclasses.dataclass
class Point:
    x: object
    y: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    name: str
    tags: tuple[str, ...] = ()


@dataclasses.dataclass
class Derived(Point):
    total: int = dataclasses.field(init=False, default=7)

    @cached_property
    def doubled(self) -> int:
        return 2 * self.total


class Pair(NamedTuple):
    left: object
    right: object = 3


class Plain(msgspec.Struct):
    a: int
    b: object = None


class Frozen(Plain, frozen=True, kw_only=True):
    c: str = "c"


class Checked(msgspec.Struct):
    a: int
    calls: list = []

    def __post_init__(self) -> None:
        self.calls.append("post_init")


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    size: int
    inner: Point | None = None
    _note: str = pydantic.PrivateAttr("n")


class Name(str):
    __slots__ = ()


class AppError(Exception):
    layer = "semantic"

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class SlotError(Exception):
    __slots__ = ("extra",)


class Tricky(ValueError, OSError):
    pass


class AppGroup(ExceptionGroup):
    def derive(self, excs: list[Exception]) -> AppGroup:
        return AppGroup(self.message, excs)


def step(
    a: Colour | Level | Rights | Point | Slotted | Derived | Pair,
    b: list[Plain | Frozen | Checked] | dict[str, Model],
    c: Name,
) -> AppError: ...
