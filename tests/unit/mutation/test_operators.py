"""Which faults are put into which code."""

from __future__ import annotations

import ast

import pytest
from mutation.mutants import modules, mutants_of
from mutation.operators import faults, type_names


def mutated(source):
    """Give every mutant of some code, as code, one by one."""
    found = []
    tree = ast.parse(source)

    def visit(node, around):
        for field, value in list(ast.iter_fields(node)):
            for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if not isinstance(child, ast.AST):
                    continue
                for fault in faults(child, (*around, node)):
                    put(node, field, index, ast.copy_location(fault, child))
                    found.append(ast.unparse(tree))
                    put(node, field, index, child)
                visit(child, (*around, node))

    def put(node, field, index, child):
        if index is None:
            setattr(node, field, child)
        else:
            getattr(node, field)[index] = child

    visit(tree, ())
    return found


@pytest.mark.parametrize(
    ("source", "faulty"),
    [
        ("x = a < b", ["x = None", "x = a <= b", "x = a >= b"]),
        ("x.y = a is b", ["pass", "x.y = a is not b"]),
        ("f(a and b)", ["pass", "f(b)", "f(a)"]),
        ("f(not a)", ["pass", "f(a)"]),
        ("f(a if b else c)", ["pass", "f(a)", "f(c)"]),
        ("x[0] = y | z", ["pass", "x[1] = y | z", "x[0] = y", "x[0] = z"]),
        ("x += 1", ["x -= 1", "pass", "x += 2"]),
        ("x.y = f(a=1, b=z)", ["pass", "x.y = f(b=z)", "x.y = f(a=1)", "x.y = f(a=2, b=z)"]),
        ("x.y = [a for a in b if a]", ["pass", "x.y = [a for a in b]"]),
        ("if a:\n    f()", ["if not a:\n    f()", "if a:\n    pass"]),
        (
            "while a < b:\n    break",
            ["while a <= b:\n    break", "while a >= b:\n    break", "while a < b:\n    continue"],
        ),
        ("def f():\n    return x", ["def f():\n    return None"]),
        ("x.y = 'name'", ["pass", "x.y = 'name?'"]),
        ("x.y = min(z)", ["pass", "x.y = max(z)"]),
        ("match a:\n    case 1:\n        pass\n    case _:\n        pass", None),
    ],
)
def test_each_construct_has_its_faults(source, faulty):
    found = mutated(source)
    if faulty is None:
        assert len(found) == 3  # either case is left out, and the number is another one
    else:
        assert found == faulty


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    '''Words.'''",
        "def f(x: int | None) -> str | None:\n    ...",
        "@decorated(1)\nclass A(Base | None, frozen=True):\n    ...",
        "class A(Protocol):\n\n    def f(self, x=1):\n        return x",
        "class A:\n    __slots__ = ('a', 'b')",
        "if TYPE_CHECKING:\n    x = 1",
        "assert x == 1",
        "import a\nfrom b import c",
        "x: Literal['a', 'b']",
    ],
)
def test_what_no_test_should_depend_on_is_left_alone(source):
    assert mutated(source) == []


def test_wording_is_left_alone_and_what_is_told_is_not():
    assert mutated("raise Wrong('no', f'run {x}', y + 1)") == [
        "pass",
        "raise Wrong('no', f'run {x}', y - 1)",
        "raise Wrong('no', f'run {x}', y + 2)",
    ]
    assert mutated("f('two words', f'{x} words')") == ["pass"]


def test_a_name_of_a_type_is_told_from_a_union_that_code_asks():
    tree = ast.parse(
        "A = B | C\nD = E | F\nG = D | A\nH = Callable[[int], A]\ndef f(x: A):\n    return isinstance(x, D)"
    )
    assert type_names(tree) == {"A", "G", "H"}


def test_every_mutant_has_a_name_of_its_own_and_another_code():
    found = mutants_of("engine/decide.py")
    assert len({mutant.name for mutant in found}) == len(found) > 50
    original = compile(found[0].file.read_text("utf-8"), str(found[0].file), "exec")
    assert all(mutant.code() != original for mutant in found)


def test_the_engine_and_the_journal_are_mutated_and_nothing_else():
    assert {module.partition("/")[0] for module in modules()} == {"engine", "journal"}
