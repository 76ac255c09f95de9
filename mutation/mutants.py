"""The mutants of a module: each with a name that outlives edits elsewhere, and the code that it is."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import itertools
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mutation.operators import faults, type_names

REPOSITORY = Path(__file__).resolve().parent.parent
_SOURCES = REPOSITORY / "src" / "regrow"
_PACKAGES = ("engine", "journal")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LONGEST_LINE = 160


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One fault in one place.

    Attributes:
        module: its file below ``src/regrow``, such as ``engine/state.py``.
        where: the qualified name of what it is in; empty for the module itself.
        change: the statement's first line before and after, numbered where the same change is possible twice.
        lines: of the statement that it is in, or of that statement's head; the first and the last.
        node: the place of the changed node in a walk through the tree, and which of its faults this is.
        function: name and line of the outermost function that it is in; None if it shows when the module is imported.
        source: a digest of the code of that function, or of the statement; comments and places make no difference.
    """

    module: str
    where: str
    change: str
    lines: tuple[int, int]
    node: tuple[int, int]
    function: tuple[str, int] | None
    source: str

    @property
    def name(self) -> str:
        """What stays the same while the code around it changes."""
        return f"{self.module} | {self.where} | {self.change}"

    @property
    def file(self) -> Path:
        """The file that it is a mutant of."""
        return _SOURCES / self.module

    def code(self) -> types.CodeType:
        """Compile the mutated module."""
        tree, places = _places(self.file)
        index, fault = self.node
        place = places[index]
        changed = list(faults(place.node, place.around))[fault]
        place.put(changed)
        return compile(tree, str(self.file), "exec", dont_inherit=True)


class _Place:
    """Where a node hangs in its tree."""

    def __init__(self, node: ast.AST, around: tuple[ast.AST, ...], field: str, index: int | None) -> None:
        self.node = node
        self.around = around
        self._field = field
        self._index = index

    def put(self, other: ast.AST) -> None:
        """Put another node there, on the same line."""
        if other is not self.node:
            ast.fix_missing_locations(ast.copy_location(other, self.node))
        if self._index is None:
            setattr(self.around[-1], self._field, other)
        else:
            getattr(self.around[-1], self._field)[self._index] = other


def _places(file: Path) -> tuple[ast.Module, list[_Place]]:
    tree = ast.parse(file.read_text("utf-8"), str(file))
    return tree, list(_walk(tree, ()))


def _walk(node: ast.AST, around: tuple[ast.AST, ...]) -> Iterator[_Place]:
    around = (*around, node)
    for field, value in ast.iter_fields(node):
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST):
                yield _Place(child, around, field, index)
                yield from _walk(child, around)


def modules() -> list[str]:
    """Give every module that is mutated."""
    return [
        file.relative_to(_SOURCES).as_posix() for name in _PACKAGES for file in sorted((_SOURCES / name).glob("*.py"))
    ]


def mutants_of(module: str) -> list[Mutant]:
    """Give all mutants of a module, in the order of its lines. Changes that compile to the same code are none."""
    file = _SOURCES / module
    tree, places = _places(file)
    original = compile(tree, str(file), "exec", dont_inherit=True)
    types_alone = type_names(tree)
    sources = {_surroundings((*place.around, place.node)): "" for place in places}
    sources = {node: hashlib.sha256(ast.unparse(_head(node)).encode()).hexdigest()[:16] for node in sources}
    found: list[Mutant] = []
    seen: Counter[tuple[str, str]] = Counter()
    for index, place in enumerate(places):
        chain = (*place.around, place.node)
        if len(chain) > 1 and _names_a_type(chain[1], types_alone):
            continue
        for fault, changed in enumerate(faults(place.node, place.around)):
            where = ".".join(one.name for one in place.around if isinstance(one, (*_FUNCTIONS, ast.ClassDef)))
            change = _change(place, changed, chain)
            seen[where, change] += 1
            if seen[where, change] > 1:
                change += f" (no. {seen[where, change]})"
            source = sources[_surroundings(chain)]
            mutant = Mutant(module, where, change, _lines(chain), (index, fault), _outermost(chain), source)
            place.put(changed)
            if compile(tree, str(file), "exec", dont_inherit=True) != original:
                found.append(mutant)
            place.put(place.node)
    return found


def _names_a_type(statement: ast.AST, names: frozenset[str]) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in names
        case _:
            return False


def _outermost(chain: tuple[ast.AST, ...]) -> tuple[str, int] | None:
    names: list[str] = []
    for one, inner in itertools.pairwise(chain):
        if isinstance(one, ast.ClassDef):
            names.append(one.name)
        elif isinstance(one, ast.Lambda):
            return None
        elif isinstance(one, _FUNCTIONS):
            first = min([one.lineno, *(decorator.lineno for decorator in one.decorator_list)])
            return (".".join([*names, one.name]), first) if inner in one.body else None
    return None


def _surroundings(chain: tuple[ast.AST, ...]) -> ast.AST:
    """Give the outermost function that something is in, or else the statement of its module or class."""
    inside = itertools.dropwhile(lambda one: isinstance(one, ast.Module | ast.ClassDef), chain)
    found = next(inside, chain[-1])
    return (
        found if isinstance(found, ast.stmt) else next(one for one in reversed(chain) if isinstance(one, ast.ClassDef))
    )


def _head(node: ast.AST) -> ast.AST:
    """Give a class without what is in it, and anything else as it is."""
    if not isinstance(node, ast.ClassDef):
        return node
    return ast.ClassDef(node.name, node.bases, node.keywords, [ast.Pass()], node.decorator_list)


def _lines(chain: tuple[ast.AST, ...]) -> tuple[int, int]:
    statement = next(one for one in reversed(chain) if isinstance(one, ast.stmt))
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
    return statement.lineno, max(statement.lineno, last)


def _change(place: _Place, changed: ast.AST, chain: tuple[ast.AST, ...]) -> str:
    statement = next(one for one in reversed(chain) if isinstance(one, ast.stmt | ast.match_case))
    before = _line(statement)
    if statement is place.node:
        after = _line(ast.copy_location(changed, place.node))
        if isinstance(place.node, ast.Match) and isinstance(changed, ast.Match):
            gone = next(one for one in place.node.cases if one not in changed.cases)
            before, after = _line(gone), "nothing"
    else:
        place.put(changed)
        after = _line(statement)
        place.put(place.node)
    return f"{_shortened(before, after)} → {_shortened(after, before)}"


def _line(node: ast.AST) -> str:
    text = ast.unparse(node).strip()
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):  # what is above them are decorators
        text = next(line for line in text.splitlines() if line.startswith(("def ", "async def ", "class ")))
    return text.splitlines()[0]


def _shortened(text: str, other: str) -> str:
    """Leave out of a long line what is far from where it differs."""
    if len(text) <= _LONGEST_LINE:
        return f"`{text}`"
    same = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    start = max(0, min(same - _LONGEST_LINE // 3, len(text) - _LONGEST_LINE))
    middle = text[start : start + _LONGEST_LINE]
    return "`" + ("…" if start else "") + middle + ("…" if start + _LONGEST_LINE < len(text) else "") + "`"
