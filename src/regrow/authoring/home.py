"""Which store a run goes to, and this process's one host for each."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path

from regrow.engine.host import Host
from regrow.executors.inline import InlineExecutor
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import Store

StoreLike = Store | str | os.PathLike[str] | None
"""A store, the folder of one, or None for ``REGROW_HOME``, or else ``.regrow/`` in the working directory."""

_hosts: dict[object, Host] = {}
_guard = threading.Lock()


def folder(place: str | os.PathLike[str] | None = None) -> Path:
    """Give the folder of the store that a user means."""
    return Path(place if place is not None else os.environ.get("REGROW_HOME") or ".regrow")


def host_of(store: StoreLike) -> Host:
    """Give this process's host of a store. There is one for each store, so that its runs share commits and heartbeat.

    Raises:
        StoreError: the store cannot be opened.
    """
    with _guard:
        if store is None or isinstance(store, str | os.PathLike):
            place = folder(store).absolute()
            key: object = (os.getpid(), place)
            if key not in _hosts:
                _hosts[key] = Host(SqliteStore(place), InlineExecutor())
            return _hosts[key]
        key = (os.getpid(), id(store))
        if key not in _hosts:
            _hosts[key] = Host(store, InlineExecutor())
        return _hosts[key]


def forget(host: Host) -> None:
    """Close a host and let it go; its store stays open."""
    with _guard:
        for key in [key for key, one in _hosts.items() if one is host]:
            del _hosts[key]
    host.close()


@atexit.register
def _close_all() -> None:
    for (pid, _), host in [(key, host) for key, host in _hosts.items() if isinstance(key, tuple)]:
        if pid == os.getpid():
            host.close()
            if isinstance(host.store, SqliteStore):
                host.store.close()
