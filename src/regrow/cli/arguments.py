"""A task's parameters as options of the command line, typed by its signature."""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Union

import click
import msgspec
from click.core import ParameterSource

from regrow.authoring.task import Task
from regrow.cli.session import Mistake, Session
from regrow.values.files import Dir, File
from regrow.values.secret import Secret

_LONGEST_DEFAULT: Final = 60


class _Converted(click.ParamType[Any]):
    """A type whose text is read by a function; what that raises is said as it is."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except (ValueError, TypeError) as problem:
            self.fail(str(problem), param, ctx)


class Described(NamedTuple):
    """What a docstring says: the text, and a line for each argument."""

    text: str
    arguments: dict[str, str]


def task_command(
    task: Task[..., Any], prefix: str, extra: Sequence[click.Parameter], ran: Callable[..., Any]
) -> click.Command:
    """Give the command that runs one task.

    Args:
        task: which.
        prefix: how its usage begins, such as ``regrow run agent.py``.
        extra: options of `regrow run` itself, which may stand behind the task too; a parameter of the same name wins.
        ran: called with the arguments by name, and the extra options under `options`.
    """
    described = describe(task)
    parameters = _parameters(task)
    options: list[click.Parameter] = [_option(one, described.arguments.get(one.name, "")) for one in parameters]
    taken = {name for option in options for name in option.opts}
    own = [one for one in extra if not taken.intersection(one.opts)]
    hints = {one.name: one for one in parameters}

    def callback(**values: Any) -> Any:
        chosen = {one.name: values.pop(one.name or "") for one in own if one.expose_value}
        source = click.get_current_context().get_parameter_source
        # An option that was left out is left out of the call as well: then the function's own default holds.
        arguments = {
            name.removeprefix("arg_"): value
            for name, value in values.items()
            if source(name) is ParameterSource.COMMANDLINE
        }
        positional = [
            arguments.pop(name) for name, one in hints.items() if one.kind is one.POSITIONAL_ONLY and name in arguments
        ]
        return ran(tuple(positional), arguments, chosen)

    return click.Command(
        task.name,
        params=[*options, *own],
        callback=callback,
        help=described.text or f"Run the task {task.name}.",
        options_metavar="[ARGUMENTS]",
        context_settings={"help_option_names": ["-h", "--help"], "show_default": False, "max_content_width": 110},
        epilog=f"Example: {prefix}{_example(parameters)}",
    )


def describe(task: Task[..., Any]) -> Described:
    """Read a task's docstring, written as Google, NumPy or plain people write them."""
    doc = inspect.getdoc(task.callee.function) or ""
    head, *sections = re.split(
        r"^(?=(?:Args|Arguments|Parameters|Returns|Raises|Yields|Attributes):?\s*$)", doc, flags=re.MULTILINE
    )
    arguments: dict[str, str] = {}
    for section in sections:
        if section.startswith(("Args", "Arguments")):
            for name, text in re.findall(
                r"^\s+\*{0,2}(\w+)(?: \([^)]*\))?: (.*(?:\n(?!\s+\w+(?: \([^)]*\))?: ).*\S.*)*)", section, re.MULTILINE
            ):
                arguments[name] = " ".join(text.replace("``", "").split())
    return Described(head.replace("``", "").strip(), arguments)


def _parameters(task: Task[..., Any]) -> list[inspect.Parameter]:
    try:
        hints = typing.get_type_hints(task.callee.function)
    except Exception:  # noqa: BLE001 - an annotation may be any expression; one that cannot be resolved is none
        hints = {}
    return [
        one.replace(annotation=hints.get(one.name, one.empty if isinstance(one.annotation, str) else one.annotation))
        for one in task.callee.signature.parameters.values()
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]


def _option(parameter: inspect.Parameter, text: str) -> click.Option:
    name = parameter.name
    flag = name.replace("_", "-")
    annotation, optional = _without_none(parameter.annotation)
    if annotation is parameter.empty and parameter.default not in (parameter.empty, None):
        annotation = type(parameter.default)
    declarations = [f"--{flag}/--no-{flag}" if annotation is bool else f"--{flag}", f"arg_{name}"]
    required = parameter.default is parameter.empty
    kind = None if annotation is bool else _type(annotation, optional=optional)
    told = [text] if text else []
    if isinstance(kind, _Converted) and kind.name.startswith("JSON"):
        told.append(f"[{kind.name}]")
    if not required:
        told.append(f"[default: {_shown(parameter.default)}]")
    return click.Option(
        declarations,
        type=kind,
        required=required,
        help="  ".join(told),
        metavar=None
        if kind is None
        else kind.name.partition(":")[0].upper()
        if "|" not in kind.name
        else f"[{kind.name}]",
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Take ``None`` out of ``T | None``."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        members = [one for one in typing.get_args(annotation) if one is not type(None)]
        if len(members) == 1:
            return members[0], True
    return annotation, False


def _type(annotation: Any, *, optional: bool) -> click.ParamType[Any]:
    simple: dict[Any, click.ParamType[Any]] = {
        str: _Converted("text", str),
        inspect.Parameter.empty: _Converted("text", str),
        int: click.INT,
        float: click.FLOAT,
        Path: _Converted("path", lambda value: Path(value).expanduser()),
        File: _Converted("file", _existing(File)),
        Dir: _Converted("folder", _existing(Dir)),
        Secret: _Converted("env-variable", Secret.from_env),
    }
    try:
        if annotation in simple:
            return simple[annotation]
    except TypeError:  # an annotation that cannot be hashed is none of these
        pass
    if typing.get_origin(annotation) is Literal:
        values = typing.get_args(annotation)
        return _one_of({str(value): value for value in values})
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        by_value = {one.value: one for one in annotation if isinstance(one.value, str)}
        return _one_of(by_value if len(by_value) == len(annotation) else {one.name: one for one in annotation})
    return _Converted(_json_name(annotation), lambda text: from_json(text, annotation, optional=optional))


def _one_of(values: dict[str, Any]) -> click.ParamType[Any]:
    def read(text: str) -> Any:
        if text not in values:
            raise ValueError(f"{text!r} is not one of {', '.join(values)}")
        return values[text]

    return _Converted("|".join(values), read)


def _existing(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if not Path(text).exists():
            raise ValueError(f"there is nothing at {text!r}")
        return kind(text)

    return read


def from_json(text: str, annotation: Any, *, optional: bool) -> Any:
    """Read a value of a type from JSON, or from plain text where the type is written so.

    Raises:
        ValueError: it is none; the message says why, without naming the text's origin.
    """
    validate = getattr(annotation, "model_validate_json", None)
    if validate is not None:
        return validate(text)  # pydantic's ValidationError is a ValueError, and says what is wrong
    try:
        value = json.loads(text)
    except json.JSONDecodeError as problem:
        try:
            # Dates, decimals and the like are plain text to a person, and strings to JSON.
            return msgspec.convert(text, annotation)
        except (msgspec.ValidationError, TypeError):
            raise ValueError(
                f"it takes JSON, and {text!r} is none: {problem.msg} at character {problem.pos + 1}"
            ) from None
    if optional and value is None:
        return None
    try:
        return msgspec.convert(value, annotation)
    except msgspec.ValidationError as problem:
        raise ValueError(str(problem)[:1].lower() + str(problem)[1:]) from None
    except TypeError:  # a type that msgspec does not know takes what JSON says
        return value


def _json_name(annotation: Any) -> str:
    name = getattr(annotation, "__name__", None) if isinstance(annotation, type) else str(annotation)
    return f"JSON: {str(name).replace('typing.', '')}" if name else "JSON"


def _shown(default: object) -> str:
    text = default.value if isinstance(default, Enum) else default
    shown = str(text) if isinstance(text, str | int | float | Path | None) else repr(text)
    return shown if len(shown) <= _LONGEST_DEFAULT else f"{shown[: _LONGEST_DEFAULT - 1]}…"


def _example(parameters: Sequence[inspect.Parameter]) -> str:
    needed = [one for one in parameters if one.default is one.empty] or list(parameters[:1])
    return "".join(f" --{one.name.replace('_', '-')} …" for one in needed)


def parse(command: click.Command, arguments: Sequence[str], usage: str, session: Session) -> Any:
    """Read a task's arguments and run it.

    Args:
        command: what `task_command` gave.
        arguments: as they were typed.
        usage: what its help begins with, such as ``regrow run agent.py``.
        session: the invocation.

    Raises:
        Mistake: they do not fit; the nearest right one is named.
    """
    try:
        with command.make_context(usage, list(arguments), obj=session) as context:
            return command.invoke(context)
    except click.NoSuchOption as problem:
        near = f"did you mean {problem.possibilities[0]}?" if problem.possibilities else f"it takes {_flags(command)}"
        raise Mistake(f"{command.name} has no argument {problem.option_name}; {near}") from None


def _flags(command: click.Command) -> str:
    return ", ".join(one.opts[0] for one in command.params if (one.name or "").startswith("arg_")) or "none"
