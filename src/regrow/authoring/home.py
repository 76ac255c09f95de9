"""Where the parts are put together: which store a run goes to, this process's one host for each, and its executor."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regrow.engine.executor import Executor
from regrow.engine.host import Host
from regrow.errors import UsageError
from regrow.executors.process import ProcessExecutor
from regrow.healing.ladder import Ladder
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import DEFAULT_PROJECT, Store

StoreLike = Store | str | os.PathLike[str] | None
"""A store, the folder of one, or None for ``REGROW_HOME``, or else ``.regrow/`` in the working directory."""

_hosts: dict[tuple[int, Path], Host] = {}
_hosts_of_objects: weakref.WeakValueDictionary[int, Host] = weakref.WeakValueDictionary()
"""A host holds its store, so an id stays its store's as long as the entry lives; that is as long as anything runs."""
_guard = threading.Lock()

workers = ProcessExecutor("regrow.authoring.outpost")
"""This process's one executor, for all its hosts: the machine's memory and processors are there once."""
_executor: Executor = workers
_ladder = Ladder()


def folder(place: str | os.PathLike[str] | None = None) -> Path:
    """Give the folder of the store that a user means."""
    return Path(place if place is not None else os.environ.get("REGROW_HOME") or ".regrow")


def project_of(given: str | None = None) -> str:
    """Give the project that a user means: the one given, or else ``REGROW_PROJECT``, or else ``default``.

    Raises:
        UsageError: it is no name for a project.
    """
    name = given if given is not None else os.environ.get("REGROW_PROJECT") or DEFAULT_PROJECT
    if not name.strip() or not name.isprintable():
        raise UsageError(f"a project's name is printable text that is not empty; it is {name!r}")
    return name


def host_of(store: StoreLike) -> Host:
    """Give this process's host of a store. There is one for each store, so that its runs share commits and heartbeat.

    Raises:
        StoreError: the store cannot be opened.
    """
    with _guard:
        if store is None or isinstance(store, str | os.PathLike):
            key = (os.getpid(), folder(store).absolute())
            if key not in _hosts:
                _hosts[key] = Host(SqliteStore(key[1]), _executor, _ladder)
            return _hosts[key]
        host = _hosts_of_objects.get(id(store))
        if host is None:
            host = _hosts_of_objects[id(store)] = Host(store, _executor, _ladder)
        return host


@contextmanager
def use_executor(executor: Executor) -> Iterator[None]:
    """Let all hosts of this process, and those to come, run bodies with another executor meanwhile.

    Args:
        executor: usually one that wraps `workers`, to watch or to disturb what it does.
    """
    global _executor  # noqa: PLW0603 - the process's, not an object's
    with _guard:
        former, _executor = _executor, executor
        for host in (*_hosts.values(), *_hosts_of_objects.values()):
            host.executor = executor
    try:
        yield
    finally:
        with _guard:
            _executor = former
            for host in (*_hosts.values(), *_hosts_of_objects.values()):
                if host.executor is executor:
                    host.executor = former


def forget(host: Host) -> None:
    """Close a host and let it go; its store stays open."""
    with _guard:
        for key in [key for key, one in _hosts.items() if one is host]:
            del _hosts[key]
        _hosts_of_objects.pop(id(host.store), None)
    host.close()


@atexit.register
def _close_all() -> None:
    workers.close()
    for (pid, _), host in list(_hosts.items()):
        if pid == os.getpid():
            host.close()
            if isinstance(host.store, SqliteStore):
                host.store.close()
