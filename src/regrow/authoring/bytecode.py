"""What a code object says by itself: its shape, and the names that it reads from its module.

A code object never changes, so each is read once. Line numbers and file names are no part of its shape: a comment, or
another checkout of the same code, changes nothing.
"""

from __future__ import annotations

import dis
from functools import lru_cache
from hashlib import blake2b
from types import CodeType

import msgspec

_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_WRITTEN_BY_PYTHON = frozenset({"__firstlineno__", "__static_attributes__"})
"""What Python 3.13 and later write into each class body: on which line it begins, and names in no certain order."""


class Import(msgspec.Struct, frozen=True):
    """An import inside a function: of a module, at a level as in ``from .. import``, and of names in it."""

    module: str
    level: int
    names: tuple[str, ...]


class Reading(msgspec.Struct, frozen=True):
    """What was read of a code object, and of those inside it.

    Attributes:
        shape: a digest of what it does with whatever its names mean.
        names: the globals that it reads, each with what is read off it at once, such as ``("settings", "DEPTH")``.
        imports: what it imports when it runs.
    """

    shape: bytes
    names: tuple[tuple[str, ...], ...]
    imports: tuple[Import, ...]


@lru_cache(maxsize=4096)
def read(code: CodeType) -> Reading:
    """Read a code object."""
    names: set[tuple[str, ...]] = set()
    imports: list[Import] = []
    _scan(code, names, imports)
    inner = [read(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    for one in inner:
        names.update(one.names)
        imports.extend(one.imports)
    return Reading(_shape(code), tuple(sorted(names)), tuple(imports))


def _scan(code: CodeType, names: set[tuple[str, ...]], imports: list[Import]) -> None:
    instructions = [one for one in dis.get_instructions(code) if one.opname != "EXTENDED_ARG"]
    for place, one in enumerate(instructions):
        if one.opname in _LOADS:
            names.add((one.argval, *_following(instructions, place, _ATTRIBUTES)))
        elif one.opname == "IMPORT_NAME":
            level = instructions[place - 2].argval
            found = [two.argval for two in instructions[place + 1 :] if two.opname == "IMPORT_FROM"]
            count = len(instructions[place - 1].argval or ())
            imports.append(Import(one.argval, level if isinstance(level, int) else 0, tuple(found[:count])))


def _following(instructions: list[dis.Instruction], place: int, kinds: frozenset[str]) -> list[str]:
    found = []
    for one in instructions[place + 1 :]:
        if one.opname not in kinds:
            break
        found.append(one.argval)
    return found


def _shape(code: CodeType) -> bytes:
    constants: list[object] = [constant for constant in code.co_consts if not isinstance(constant, CodeType)]
    instructions: object = code.co_code  # as it was compiled, whatever the interpreter has made of it meanwhile
    if not _WRITTEN_BY_PYTHON.isdisjoint(code.co_names):
        listed = list(dis.get_instructions(code))
        pairs = zip(listed, [*listed[1:], None], strict=True)
        instructions = [
            _instruction(one) for one, after in pairs if after is None or after.argval not in _WRITTEN_BY_PYTHON
        ]
        constants = []  # they are among the instructions; the number of a line may share a place with another one
    facts = (
        instructions,
        code.co_exceptiontable,
        [_constant(constant) for constant in constants],
        [read(constant).shape for constant in code.co_consts if isinstance(constant, CodeType)],
        [code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars],
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
    )
    return blake2b(msgspec.msgpack.encode(facts), digest_size=16).digest()


def _instruction(one: dis.Instruction) -> object:
    if one.opcode not in dis.hasconst:
        return (one.opname, one.arg)
    return (one.opname, "code" if isinstance(one.argval, CodeType) else _constant(one.argval))


def _constant(constant: object) -> object:
    """Give a constant as plain data: the same in every process, and different for ``1``, ``1.0`` and ``True``."""
    kind = type(constant).__name__
    if isinstance(constant, tuple):
        return (kind, [_constant(one) for one in constant])
    if isinstance(constant, frozenset):
        return (kind, sorted(msgspec.msgpack.encode(_constant(one)) for one in constant))
    text = hex(constant) if type(constant) is int else repr(constant)  # decimals of a large one are refused
    return (kind, text.encode("utf-8", "backslashreplace"))
