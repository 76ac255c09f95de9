"""From a file to its tasks, and from a recorded run back to the code and the inputs that it needs."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast, get_type_hints

import regrow.examples
from regrow.authoring.recorded import Recorded
from regrow.authoring.task import Task
from regrow.cli.session import Mistake, Session
from regrow.codec import capture, registry
from regrow.engine.host import Host
from regrow.engine.state import fold
from regrow.insight.runs import short
from regrow.journal.chain import unseal_all
from regrow.journal.records import RunCreated
from regrow.journal.store import RunRow, Store

AnyTask = Task[..., Any]
_EXAMPLES = Path(regrow.examples.__file__).resolve().parent


class Recalled(NamedTuple):
    """What it takes to go on with a run."""

    task: AnyTask
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def load_file(path: Path, module_name: str | None = None, *, named_by_user: bool = True) -> ModuleType:
    """Load a file as ``python FILE`` would, under a name that other processes can give it too: its stem.

    Args:
        path: the file.
        module_name: the name under which a run recorded it. If the file lies where a package of that name would have
            it, it is imported as that; otherwise it is not looked at.
        named_by_user: the file was typed, rather than found in a journal.

    Raises:
        Mistake: it is not there, or does not load; the message holds the error and its place.
    """
    if not path.is_file():
        raise Mistake(f"there is no file {path}")
    file = path.resolve()
    name, root = file.stem, file.parent
    parts = tuple((module_name or "").split("."))
    if len(parts) > 1 and file.with_suffix("").parts[-len(parts) :] == parts:
        package = file.parents[len(parts) - 2]
        # A dotted name reaches above the file's folder: the packages on the way are executed too.
        if named_by_user or _trusted(package) or package == _EXAMPLES.parent:
            name, root = ".".join(parts), package.parent
    if not all(part.isidentifier() for part in name.split(".")):
        raise Mistake(f"{path.name} cannot be loaded: its name is not a Python name; rename it, such as to agent.py")
    known = sys.modules.get(name)
    if known is not None:
        if Path(getattr(known, "__file__", None) or "").resolve() == file:
            return known
        raise Mistake(f"{path.name} has the name of the module {name!r}, which is in use; rename the file")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        return importlib.import_module(name) if "." in name else _execute(name, file)
    except Mistake:
        sys.modules.pop(name, None)
        raise
    except Exception as error:
        sys.modules.pop(name, None)
        raise Mistake(f"{path} could not be loaded\n{capture(error).render(indent=2)}") from error


def _execute(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise Mistake(f"{file.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def tasks_in(module: ModuleType) -> dict[str, AnyTask]:
    """Give the tasks that a module defines, by its names for them; those that it has imported if there are none."""
    found = {name: value for name, value in vars(module).items() if isinstance(value, Task)}
    own = {name: one for name, one in found.items() if one.ref.partition(":")[0] == module.__name__}
    return own or found


def choose_task(module: ModuleType, file: Path, name: str | None) -> AnyTask:
    """Give the task of this name, or the only one there is.

    Raises:
        Mistake: there is none, or it must be said which.
    """
    tasks = tasks_in(module)
    if name is None:
        if len(tasks) == 1:
            return next(iter(tasks.values()))
        if not tasks:
            raise Mistake(f"{file} has no task; decorate a function with @regrow.task")
        raise Mistake(f"{file} has {len(tasks)} tasks; say which: {', '.join(tasks)}")
    if name in tasks:
        return tasks[name]
    other = vars(module).get(name)
    if isinstance(other, Task):
        return cast("AnyTask", other)
    if isinstance(other, Recorded):
        raise Mistake(f"{name} in {file} is a step; a run is a run of a task: decorate it with @regrow.task")
    if callable(other):
        raise Mistake(f"{name} in {file} is a plain function; decorate it with @regrow.task")
    near = difflib.get_close_matches(name, tasks, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(tasks) or 'none'}"
    raise Mistake(f"there is no task {name!r} in {file}; {hint}")


def creation_of(store: Store, row: RunRow) -> RunCreated:
    """Give the first record of a run.

    Raises:
        Mistake: nothing was recorded before its process was gone.
    """
    created = fold(unseal_all(row.id, store.read(row.id))).created
    if created is None:
        raise Mistake(f"run {short(row.id)} stopped before its inputs were recorded; start it again")
    return created


def recall(session: Session, host: Host, row: RunRow, given: Path | None) -> Recalled:
    """Find a run's task and its inputs again.

    Args:
        session: the invocation.
        host: where the run is.
        row: the run.
        given: the file that the user has named, which is trusted because they did.

    Raises:
        Mistake: the file cannot be used, or holds another task.
    """
    created = creation_of(host.store, row)
    module_name, _, qualname = created.task.partition(":")
    file = given if given is not None else _source(session, row, created)
    module = load_file(file, module_name, named_by_user=given is not None)
    task = _walk(module, qualname)
    if not isinstance(task, Task):
        raise Mistake(f"run {short(row.id)} is of {created.task}, and {file} has no task {qualname!r}; was it renamed?")
    if task.ref != created.task:
        raise Mistake(
            f"run {short(row.id)} is of {created.task}, and {file} defines {task.ref}; name the right file with --file"
        )
    args, kwargs = cast("tuple[tuple[Any, ...], dict[str, Any]]", host.vault.load(created.inputs))
    return Recalled(task, args, kwargs)


def result_type(path: str, *, once: bool = False) -> Any:
    """Give the type that the loaded code says a call's result has; anything, if that is not one type.

    Args:
        path: of the call.
        once: look among once-only tasks and steps alone.
    """
    name = path.rpartition("/")[2].partition("#")[0]
    found = {
        get_type_hints(one.__wrapped__).get("return", Any)
        for one in registry.references.values()
        if isinstance(one, Recorded) and one.name == name and (one.callee.options.once or not once)
    }
    return found.pop() if len(found) == 1 else Any


def loading_options(created_source: str) -> str:
    """Give what a command that loads a run's code must be given, besides the run."""
    if not created_source:
        return " --file FILE.py"
    source = Path(created_source)
    return "" if _trusted(source.resolve()) else f" --file {shlex.quote(created_source)}"


def _source(session: Session, row: RunRow, created: RunCreated) -> Path:
    run = short(row.id)
    command = f"regrow {session.command} {run} --file"
    if not created.source:
        raise Mistake(
            f"run {run} was started in a notebook or prompt; go on there, with the same key, or: {command} FILE.py"
        )
    source = Path(created.source)
    if not source.exists():
        raise Mistake(
            f"run {run} is of {created.source}, which is not there any more: {command} FILE.py{session.options}"
        )
    if not _trusted(source.resolve()):
        # What is stored must never decide what is executed: a journal may come from anywhere.
        raise Mistake(
            f"run {run} is of {created.source}, which is outside of this folder; if you trust it: "
            f"{command} {shlex.quote(created.source)}{session.options}"
        )
    return source


def _trusted(path: Path) -> bool:
    return path.is_relative_to(Path.cwd().resolve()) or path.is_relative_to(_EXAMPLES)


def _walk(module: ModuleType, qualname: str) -> object:
    found: object = module
    for part in qualname.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found
