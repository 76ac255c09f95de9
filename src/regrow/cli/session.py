"""What one invocation of the command line knows, and how it speaks: documents, sentences and exit codes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from regrow.authoring.home import folder, forget, host_of, project_of
from regrow.cli import exits
from regrow.engine.host import Host
from regrow.errors import StoreUnavailable
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import DEFAULT_PROJECT

F = TypeVar("F", bound=Callable[..., Any])

DOCUMENT_VERSION = 1
"""Of every JSON document. Fields may be added within a version; none is removed or changes its meaning."""


class Session:
    """One invocation.

    Attributes:
        command: which command was given.
        json: whether it is to answer with a JSON document.
        store_given: the folder that was named with ``--store``, if one was.
        project_given: the project that was named with ``--project``, if one was.
        owns_process: whether the process is there for this invocation alone.
        has_cancelled_run: whether a run that it drove was cancelled, so that its code may not have ended.
    """

    def __init__(self) -> None:
        """Begin with nothing asked for."""
        self.command = ""
        self.json = False
        self.store_given: str | None = None
        self.project_given: str | None = None
        self.owns_process = False
        self.has_cancelled_run = False
        self._store: SqliteStore | None = None
        self._host: Host | None = None

    @property
    def folder(self) -> Path:
        """Where the store is, or will be."""
        return folder(self.store_given)

    @property
    def project(self) -> str:
        """Whose runs are meant."""
        return project_of(self.project_given)

    @property
    def of_project(self) -> str:
        """Says which project is meant, where it is not the usual one."""
        return f" of project {self.project!r}" if self.project != DEFAULT_PROJECT else ""

    @property
    def options(self) -> str:
        """What a command that is suggested must be given in order to mean the same store and project."""
        return "".join(f" {shlex.quote(one)}" for one in self.arguments)

    @property
    def store_option(self) -> str:
        """The same for a command that is about the whole store, or names its project itself."""
        return "" if self.store_given is None else f" --store {shlex.quote(self.store_given)}"

    @property
    def arguments(self) -> list[str]:
        """What `options` says, as a list."""
        given = {"--store": self.store_given, "--project": self.project_given}
        return [one for name, value in given.items() if value is not None for one in (name, value)]

    def store(self) -> SqliteStore:
        """Open the store for reading; none is made.

        Raises:
            StoreUnavailable: there is none.
        """
        if self._host is not None and isinstance(self._host.store, SqliteStore):
            return self._host.store
        if self._store is None:
            self._store = SqliteStore(self.folder, create=False)
        return self._store

    def host(self, *, create: bool = False) -> Host:
        """Be a driver of the store's runs.

        Raises:
            StoreUnavailable: there is no store, and none was to be made.
        """
        if self._host is None:
            if not create and not (self.folder / "journal.db").exists():
                raise StoreUnavailable(f"there is no store at {self.folder}; a first run makes one")
            self._host = host_of(self.store_given)
        return self._host

    def close(self) -> None:
        """Withdraw from the store."""
        if self._host is not None:
            forget(self._host)
            self._host.store.close()
            self._host = None
        if self._store is not None:
            self._store.close()
            self._store = None

    def document(self, **content: object) -> None:
        """Write the one JSON document that the command answers with."""
        full = {"version": DOCUMENT_VERSION, "command": self.command, **content}
        out(as_json(full))


def out(text: str) -> None:
    """Write a line of the command's own output."""
    stream = sys.stdout
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:  # a terminal or pipe with a small alphabet
        stream.write(text.encode(stream.encoding or "ascii", "replace").decode(stream.encoding or "ascii") + "\n")
    stream.flush()


def as_json(value: object) -> str:
    """Give a value as JSON for people and programs; what JSON does not know as text, and what is no number as null."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plainer), indent=2).decode()


def _plainer(value: Any) -> object:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")  # pydantic
    if hasattr(value, "tolist"):
        return value.tolist()  # NumPy
    return str(value)


def say(text: str) -> None:
    """Write a sentence of regrow's, which is not the command's output."""
    click.echo(f"regrow: {printable(text)}", err=True)


def printable(text: str) -> str:
    """Take out what would steer a terminal: what was recorded, or a user's file, must not move anybody's cursor."""
    return "".join(one if one in "\n\t" or one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def store_options(command: F) -> F:
    """Give a command the options that say which runs are meant."""
    command = click.option(
        "--store",
        metavar="DIR",
        help="Folder of the store. Otherwise REGROW_HOME, or .regrow here.",
        expose_value=False,
        callback=_take_store,
    )(command)
    return click.option(
        "--project",
        metavar="NAME",
        help="Whose runs are meant. Otherwise REGROW_PROJECT, or default.",
        expose_value=False,
        callback=_take_project,
    )(command)


def shared_options(command: F) -> F:
    """Give a command the options that all have which answer with something that can be a document."""
    return click.option(
        "--json",
        is_flag=True,
        help='Answer with one JSON document ("version": 1).',
        expose_value=False,
        callback=_take_json,
    )(store_options(command))


def _take_store(context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    session = context.find_object(Session)
    if session is not None and value is not None:
        session.store_given = os.path.expanduser(value)  # noqa: PTH111 - kept as text, since it is shown again as it was typed
    return value


def _take_project(context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    session = context.find_object(Session)
    if session is not None and value is not None:
        session.project_given = value
    return value


def _take_json(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click's own
    session = context.find_object(Session)
    if session is not None:
        session.json = session.json or value
    return value


in_session = click.make_pass_decorator(Session)
"""Hands the session to a command as its first argument."""


class Leave(Exception):
    """Ends the command with an exit code; whatever there was to say has been said."""

    def __init__(self, code: int = exits.FAILED) -> None:
        super().__init__(code)
        self.code = code


class Mistake(Exception):
    """The command cannot be carried out as it was written; the message says what to write instead."""
