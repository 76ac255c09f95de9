"""Which small faults are put into code, and what is left alone because no test should depend on it."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
}
_NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "partition": "rpartition",
    "rpartition": "partition",
    "startswith": "endswith",
    "endswith": "startswith",
}
_WITH_FAULTS_OF_THEIR_OWN = (ast.Compare, ast.BoolOp, ast.NamedExpr, ast.UnaryOp, ast.Constant)
"""Conditions that are not negated as well; a negated ``:=`` would be a use of an unset name."""

_GENERIC = frozenset(("Callable", "Generator", "Iterator", "Literal", "Mapping", "Sequence", "dict", "list", "tuple"))

LEFT_ALONE = (
    (
        "documentation, annotations, names of types for annotations, `Literal[…]`, imports, decorators, base classes, "
        "`__slots__`, `frozen=`: no behaviour to test"
    ),
    "`assert` and `TYPE_CHECKING` for the type checker, and the bodies of protocols",
    "wording: any text with a blank in it, and all text in a `raise`; tests that pin each word forbid better ones",
)
"""For the report."""


def faults(node: ast.AST, around: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Give what may stand in a node's place, one fault each. `around` are its ancestors, the nearest last."""
    if _is_left_alone(node, around):
        return
    match node:
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp() | ast.IfExp():
            yield from _in_logic(node)
        case ast.BinOp() | ast.Constant():
            yield from _in_values(node)
        case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()) | ast.Call():
            yield from _in_uses(node)
        case ast.Match() | ast.If() | ast.While() | ast.comprehension():
            yield from _in_choices(node)
        case ast.stmt():
            yield from _statements(node)
        case _:
            return


def _in_logic(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            yield from _comparisons(node)
        case ast.BoolOp():
            for index in range(len(node.values)):
                left = node.values[:index] + node.values[index + 1 :]
                yield left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case _:
            return


def _in_values(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp(op=ast.BitOr()):
            yield node.left
            yield node.right
        case ast.BinOp() if type(node.op) in _ARITHMETIC and not (_is_text(node.left) or _is_text(node.right)):
            yield ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str() as value):
            yield ast.Constant(f"{value}?")
        case ast.Constant(value=bytes() as value):
            yield ast.Constant(value + b"?")
        case _:
            return


def _in_uses(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Name(id=name) if name in _NAMES:
            yield ast.Name(_NAMES[name], ast.Load())
        case ast.Attribute(attr=name) if name in _NAMES:
            yield ast.Attribute(node.value, _NAMES[name], ast.Load())
        case ast.Call(keywords=keywords):
            for index, keyword in enumerate(keywords):
                if keyword.arg is not None and not _is_wording(keyword.value):
                    yield ast.Call(node.func, node.args, keywords[:index] + keywords[index + 1 :])
        case _:
            return


def _in_choices(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Match(cases=[_, _, *_] as cases):
            for index in range(len(cases)):
                yield ast.Match(node.subject, cases[:index] + cases[index + 1 :])
        case ast.If() | ast.While() if not isinstance(node.test, _WITH_FAULTS_OF_THEIR_OWN):
            changed = copy.copy(node)
            changed.test = ast.UnaryOp(ast.Not(), node.test)
            yield changed
        case ast.comprehension(ifs=ifs):
            for index in range(len(ifs)):
                changed_loop = copy.copy(node)
                changed_loop.ifs = ifs[:index] + ifs[index + 1 :]
                yield changed_loop
        case _:
            return


def type_names(tree: ast.Module) -> frozenset[str]:
    """Give the names that a module gives to types and uses in annotations alone."""
    bare = ast.parse(ast.unparse(tree))
    given: dict[str, ast.expr] = {}
    for node in ast.walk(bare):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                node.returns = None
            case ast.arg():
                node.annotation = None
            case ast.AnnAssign():
                node.annotation = ast.Constant(None)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if node in bare.body and _is_type(value):
                given[name], node.value = value, ast.Constant(None)
            case _:
                continue
    left = _names_read(bare)
    while used := left & given.keys():  # and so is what it is made of
        left = frozenset().union(*(_names_read(given.pop(name)) for name in used))
    return frozenset(given)


def _names_read(tree: ast.AST) -> frozenset[str]:
    return frozenset(one.id for one in ast.walk(tree) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load))


def _is_type(value: ast.expr) -> bool:
    match value:
        case ast.BinOp(op=ast.BitOr(), left=ast.Name() | ast.BinOp() | ast.Attribute()):
            return True
        case ast.Subscript(value=ast.Name(id=name)):
            return name in _GENERIC
        case ast.Call(func=ast.Name(id="TypeVar")):
            return True
        case _:
            return False


def _comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        for other in _COMPARISONS[type(op)]:
            yield ast.Compare(node.left, [*node.ops[:index], other(), *node.ops[index + 1 :]], node.comparators)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr() | ast.Raise() | ast.Delete():
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Assign(targets=[ast.Name()], value=value) if not isinstance(value, ast.Constant):
            yield ast.Assign(node.targets, ast.Constant(None))
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.AugAssign() if type(node.op) in _ARITHMETIC:
            yield ast.AugAssign(node.target, _ARITHMETIC[type(node.op)](), node.value)
            yield ast.Pass()


def _is_left_alone(node: ast.AST, around: Sequence[ast.AST]) -> bool:
    match node:
        case ast.Assert() | ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__all__")]):
            return True
        case _:
            pass
    inner: ast.AST = node
    for outer in reversed(around):
        if _declares(outer, inner) or _says(outer, node):
            return True
        inner = outer
    return _is_wording(node)


def _declares(outer: ast.AST, inner: ast.AST) -> bool:
    """Tell whether a part of a node says something to type checkers and readers, and nothing to Python."""
    match outer:
        case ast.Assert() | ast.Import() | ast.ImportFrom() | ast.arg() | ast.keyword(arg="frozen"):
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
        case ast.AnnAssign():
            return inner is outer.annotation
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return inner is outer.returns or inner in outer.decorator_list
        case ast.ClassDef(bases=bases):
            return inner in (*outer.decorator_list, *bases) or any(_is_named(one, "Protocol") for one in bases)
        case ast.Subscript(value=value):
            return _is_named(value, "Literal")
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__all__")]):
            return True
        case ast.If(test=test):
            return _is_named(test, "TYPE_CHECKING")
        case _:
            return False


def _says(outer: ast.AST, node: ast.AST) -> bool:
    """Tell whether something is, inside of a node, a part of what people read."""
    return (isinstance(outer, ast.Raise) and _is_text(node)) or (
        isinstance(outer, ast.JoinedStr) and _is_wording(outer)
    )


def _is_named(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_wording(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str() as text):
            return " " in text
        case ast.JoinedStr(values=values):
            return any(_is_wording(part) for part in values)
        case _:
            return False
