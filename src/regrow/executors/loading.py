"""The user's code in another interpreter: where it is, and loading it there.

A script is loaded as what it is called, and not as ``__main__``, so that what stands under ``if __name__ ==
"__main__":`` does not run. Much code begins its run without that line; there, loading ends at the call of `regrow.run`.
Whatever the run could use was defined above it.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

from regrow.codec import module_alias
from regrow.engine.callee import Callee
from regrow.errors import UsageError
from regrow.executors.messages import Code


class FarEnough(BaseException):
    """Ends the loading of a script where it would begin a run. No `Exception`, so that the script does not catch it."""


_only_loading = False


def begin_loading() -> None:
    """Let `stop_if_only_loading` end the loading of scripts from now on: this process runs no runs of its own."""
    global _only_loading  # noqa: PLW0603 - the process's, not an object's
    _only_loading = True


def stop_if_only_loading() -> None:
    """End the loading of a script in a worker.

    Raises:
        FarEnough: this is a worker.
    """
    if _only_loading:
        raise FarEnough


def code_of(callee: Callee) -> Code:
    """Say where a task can be loaded from.

    Raises:
        UsageError: nowhere; says what to do about it.
    """
    module, _, qualname = callee.ref.partition(":")
    if "<locals>" in qualname:
        raise UsageError(
            f"{callee.name} runs in a worker process, which cannot find it inside the function that defines it; "
            f"define it at the top level of its module"
        )
    file = _file_of(callee)
    if file is None:
        raise UsageError(
            f"{callee.name} runs in a worker process, which cannot load it from a notebook or prompt; "
            f"put it into a file and import it from there"
        )
    return Code(callee.ref, module or module_alias(callee.function), file)


def _file_of(callee: Callee) -> str | None:
    try:
        file = inspect.getsourcefile(inspect.unwrap(callee.function))
    except TypeError:
        return None
    return str(Path(file).absolute()) if file and Path(file).exists() else None


def load(module: str, file: str) -> ModuleType:
    """Load a module by its name if that leads to this file, and else from the file, under that name.

    Raises:
        ImportError: it cannot be loaded.
        Exception: whatever the module itself raises.
    """
    known = sys.modules.get(module)
    if known is not None:
        if Path(getattr(known, "__file__", None) or "").resolve() == Path(file).resolve():
            return known
        raise ImportError(f"{file} has the name of the module {module!r}, which is in use; rename the file")
    # Whatever the file is called: an executable script often has no suffix.
    from_file = importlib.util.spec_from_file_location(module, file, loader=SourceFileLoader(module, file))
    spec = _spec_by_name(module, file) or from_file
    assert spec is not None  # noqa: S101 - with a loader given there is one
    assert spec.loader is not None  # noqa: S101 - likewise
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    try:
        spec.loader.exec_module(loaded)
    except FarEnough:
        pass
    except BaseException:
        del sys.modules[module]
        raise
    return loaded


def _spec_by_name(module: str, file: str) -> ModuleSpec | None:
    """Find a module as an import would, which also loads the packages that it lies in; None if it is another file's."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec if spec is not None and spec.origin and Path(spec.origin).resolve() == Path(file).resolve() else None
