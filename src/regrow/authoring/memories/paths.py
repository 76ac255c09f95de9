"""The paths of files in a memory: relative, POSIX, in one form, and never out of the tree."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from regrow.errors import UsageError


def clean_path(path: str) -> str:
    """Give a file's path in its one form.

    Raises:
        UsageError: it is absolute, empty, or leads out of the tree.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise UsageError(
            f"a file's path in a memory is relative and stays in it, such as 'notes/day1.md'; it is {path!r}"
        )
    return "/".join(parts)


_GLOB = re.compile(r"(\*\*/)|(\*\*)|(\*)|(\?)|\[(!?)([^]]+)\]|(.)", re.DOTALL)


def fitting(pattern: str) -> Callable[[str], bool]:
    """Give what tells whether a path fits a pattern. `PurePath.match` takes ``**`` for ``*`` before Python 3.13."""

    def translated(part: re.Match[str]) -> str:
        folders, everything, some, one, negated, among, plain = part.groups()
        if folders or everything:
            return "(?:[^/]+/)*" if folders else ".*"
        if some or one:
            return "[^/]*" if some else "[^/]"
        if among:
            return f"[{'^' if negated else ''}{among.replace(chr(92), chr(92) * 2)}]"
        return re.escape(plain)

    compiled = re.compile(_GLOB.sub(translated, clean_path(pattern)), re.DOTALL)
    return lambda path: compiled.fullmatch(path) is not None
