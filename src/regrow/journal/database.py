"""One SQLite database, as everything that is kept in it uses it: connections, transactions, formats, clear errors.

SQLite comes with apsw, so that its version is ours to choose: releases before 3.51.3 can lose a committed transaction
when a checkpoint meets a reset of the write-ahead log. `synchronous=FULL` makes every acknowledged commit survive a
power cut, which WAL mode alone does not.
"""

from __future__ import annotations

import os
import re
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from regrow.errors import Corrupted, StoreError, StoreUnavailable, UnreadableFormat

_T = TypeVar("_T")
_BUSY_MILLISECONDS = 30_000
_OF_ANOTHER_FORMAT = re.compile("duplicate column|already exists|no such table|no such column")
"""What SQLite says of a step whose beginning is not what the format says."""
Format = tuple[str, ...]
"""The statements of one step from an older format to the next."""


def statements(file: Path) -> dict[str, str]:
    """Give the statements of a ``.sql`` file by the names that stand above them, as ``-- :name``."""
    found = re.findall(r"^-- :(\w+)\n(.*?)(?=^-- :|\Z)", file.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


class Database:
    """A database file; or, without one, a database in memory that ends with the object.

    Attributes:
        writer: the connection that writes; only inside `writing`, or under `write_lock`.
        reader: the one that reads; only inside `reading`.
        write_lock: is held by whoever writes.
        broken: why nothing can be written any more, once that is so.
    """

    def __init__(self, file: Path | None, formats: Sequence[Format], *, place: str) -> None:
        """Open a database, and make its tables if need be. An older one is brought to the latest format.

        Args:
            file: where it is; None for memory.
            formats: the steps to the latest format, from nothing. A new database takes all of them, an older one those
                that it lacks, so both come out the same.
            place: how errors name the store that it belongs to.

        Raises:
            StoreUnavailable: it cannot be read or written.
            UnreadableFormat: a newer version made it.
            Corrupted: the file there is no sound database.
        """
        self.write_lock = threading.Lock()
        self.broken: str | None = None
        self._file = file
        self._formats = formats
        self._place = place
        self._forked = False
        with self.said_clearly():
            if file is not None and not file.exists():
                os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            self.writer = self._connect()
            self._identity = self._identify()
            self._prepare_schema()
            # Nobody but its own connection sees a database in memory.
            self.reader = self._connect() if file is not None else self.writer
        self._read_lock = threading.Lock() if file is not None else self.write_lock
        _open_databases.add(self)

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """Write in one transaction, which is durable at the end of the block; an exception takes all of it back.

        Raises:
            StoreUnavailable: nothing can be written, or it cannot be said whether it was.
            Corrupted: the file is damaged.
        """
        self.ensure_writable()
        with self.write_lock, self.said_clearly():
            self.writer.execute("BEGIN IMMEDIATE")
            try:
                yield self.writer
                self.writer.execute("COMMIT")
            except BaseException:
                if not self.writer.get_autocommit():
                    self.writer.execute("ROLLBACK")
                raise

    def ensure_writable(self) -> None:
        """Refuse to write where nobody will find it: SQLite goes on with a file that has no name any more.

        Raises:
            StoreUnavailable: something broke before, or the file was moved, removed or unmounted.
        """
        if self.broken is None and self._identify() != self._identity:
            self.broken = (
                f"{self._name} was moved, removed or unmounted while it was in use; nothing after that is "
                f"acknowledged: put it back, then resume"
            )
        if self.broken:
            raise StoreUnavailable(self.broken)

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Read; each statement sees what was committed when it began.

        Raises:
            StoreUnavailable: it cannot be read.
            Corrupted: the file is damaged.
        """
        if self._forked:
            raise StoreUnavailable(_FORKED)
        with self._read_lock, self.said_clearly():
            yield self.reader

    @contextmanager
    def said_clearly(self) -> Iterator[None]:
        """Turn what SQLite and the system say into errors of ours."""
        try:
            yield
        except apsw.Error as problem:
            raise self.explain(problem) from problem
        except UnicodeDecodeError as problem:
            raise Corrupted(f"{self._name} is damaged: it has text that is none ({problem.reason})") from problem
        except OSError as problem:
            raise StoreUnavailable(f"cannot use a store at {self._place}: {problem.strerror or problem}") from problem

    def explain(self, problem: apsw.Error) -> StoreError:
        """Give the error of ours that says what SQLite's means, and take note if nothing can be written any more."""
        match problem:
            case apsw.CorruptError() | apsw.NotADBError():
                return Corrupted(
                    f"{self._name} is damaged below the level of runs ({problem}); `regrow doctor` says more"
                )
            case apsw.IOError():
                # After a failed fsync the kernel may call lost pages clean, and a second fsync would lie.
                self.broken = (
                    f"{self._name} had an input/output error ({problem}); nothing after it is acknowledged; see to the "
                    f"disk, then resume"
                )
                return StoreUnavailable(self.broken)
            case apsw.FullError():
                return StoreUnavailable(f"no room left to write {self._name}; make room, then resume")
            case apsw.ReadOnlyError():
                return StoreUnavailable(f"{self._name} is read-only; make it writable, then resume")
            case apsw.BusyError():
                return StoreUnavailable(
                    f"{self._name} stayed locked by another process for {_BUSY_MILLISECONDS / 1000:.0f} s"
                )
            case _:
                return StoreUnavailable(f"{self._name}: {problem}")

    def checked(self, found: Sequence[Any], names: Sequence[str], type_: type[_T], what: str) -> list[_T]:
        """Make rows into values. Checked, because nothing else does: they are outside of the chains of the records.

        Args:
            found: the rows.
            names: of their columns, as fields of `type_`.
            type_: what each becomes.
            what: how an error names them, such as ``the list of runs is``.

        Raises:
            Corrupted: a row is none.
        """
        try:
            return [msgspec.convert(dict(zip(names, row, strict=True)), type_, strict=False) for row in found]
        except msgspec.ValidationError as problem:
            raise Corrupted(f"{self._name}: {what} damaged ({problem})") from None

    def check(self) -> list[str]:
        """Ask SQLite for its own view of the file, and give a sentence for each damage found."""
        with self.reading() as db:
            found = [str(row[0]) for row in db.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        """Let go of the file."""
        with self.write_lock, self._read_lock if self._read_lock is not self.write_lock else nullcontext():
            self.reader.close()
            self.writer.close()

    def leave_to_parent(self) -> None:
        """Refuse everything from now on: this is the child of a fork, and the connections are its parent's."""
        self._forked, self.broken = True, _FORKED

    @property
    def _name(self) -> str:
        return str(self._file) if self._file is not None else "the database in memory"

    def _identify(self) -> tuple[int, int] | None:
        """Give which file has the database's name now. By `stat`: to open and close it would drop SQLite's locks."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _connect(self) -> apsw.Connection:
        db = apsw.Connection(":memory:" if self._file is None else str(self._file))
        db.set_busy_timeout(_BUSY_MILLISECONDS)
        db.create_scalar_function("machine_seconds", lambda *_: machine_seconds(), 0)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON", "foreign_keys=ON"):
            _patiently(db, f"PRAGMA {pragma}")
        return db

    def _prepare_schema(self) -> None:
        # Looked at before anything is written: a full disk can still be read, and a newer store is left as it is.
        latest = len(self._formats)
        if self._format() == latest:
            return
        with self.writing() as db:
            # Two processes may both come here; the second one has waited for the first, and finds it done.
            former = self._format()
            for step in range(former + 1, latest + 1):
                for statement in self._formats[step - 1]:
                    try:
                        db.execute(statement).fetchall()
                    except apsw.SQLError as problem:
                        if not _OF_ANOTHER_FORMAT.search(str(problem)):
                            raise
                        raise Corrupted(
                            f"{self._name} says that it has format {former}, and its tables are of another "
                            f"({problem}); nothing was changed: restore it from a copy"
                        ) from problem
                db.execute("INSERT OR REPLACE INTO meta VALUES ('format', ?)", (str(step),))

    def _format(self) -> int:
        """Give the format of what is there, 0 if that is nothing yet."""
        tables = {str(name) for (name,) in self.writer.execute("SELECT name FROM sqlite_schema")}
        if not tables:
            return 0
        if "meta" not in tables:
            raise Corrupted(f"{self._name} is a database, but not one of regrow's")
        found = self.writer.execute("SELECT value FROM meta WHERE name = 'format'").fetchall()
        if not found or not str(found[0][0]).isdecimal() or not int(str(found[0][0])):
            raise Corrupted(f"{self._name} does not say which format it has")
        number = int(str(found[0][0]))
        if number > len(self._formats):
            raise UnreadableFormat(
                f"{self._name} has store format {number}, this regrow reads up to {len(self._formats)}: "
                f"use the newer version"
            )
        return number


def machine_seconds() -> float:
    """Give the time since this machine was started, which nobody can set; leases are measured by it.

    They are between processes of one machine, and after its next start the locks say that all of them are gone.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _patiently(db: apsw.Connection, statement: str) -> None:
    """Try until the database is free: SQLite does not wait for the change to WAL when several processes make it."""
    limit: float | None = None  # no clock is asked where nobody is in the way, as in a simulated world
    while True:
        try:
            db.execute(statement).fetchall()
        except apsw.BusyError:
            limit = limit or time.monotonic() + _BUSY_MILLISECONDS / 1000
            if time.monotonic() > limit:
                raise
            time.sleep(0.005)
        else:
            return


_FORKED = (
    "this store was opened before the process forked, and SQLite lets only the parent go on with it; open it again"
)
_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Keep a forked child off its parent's connections: their locks were not inherited, and two would write as one."""
    for database in _open_databases:
        database.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
