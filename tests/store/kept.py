"""The journals in `data` that earlier formats' first versions wrote: how they came there, and how a test gets at them.

Each has the module beside this that wrote it, run as in ``PYTHONPATH=src python -m tests.store.make_journal_2``, with
another folder behind it where the journal that is kept is to stay. The first format's was written by real runs, whose
records name the file of their agents; so `make_journal.py` is a script by itself, and shares only what reads.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from regrow.journal.chain import seal
from regrow.journal.records import Event, Record
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import Entry

DATA = Path(__file__).with_name("data")


def journal_of(number: int) -> Path:
    """Give where the journal of a format is."""
    return DATA / f"journal-{number}"


@contextlib.contextmanager
def opened_copy(number: int, folder: Path) -> Iterator[SqliteStore]:
    """Open a copy, for reading changes a journal: it is brought to the newest format."""
    shutil.copytree(journal_of(number), folder)
    with contextlib.closing(SqliteStore(folder)) as store:
        yield store


def append_all(store: SqliteStore, run: str, epoch: int, events: Sequence[Event], begun: float) -> None:
    """Append a run's events as one chain, a quarter of a second from one to the next."""
    previous = b""
    entries = []
    for seq, event in enumerate(events, start=1):
        record = Record(seq, begun + seq / 4, "driver", epoch, previous, event)
        stored = seal(record)
        previous = stored.hash
        entries.append(Entry(run, epoch, stored, getattr(event, "blobs", ()), time=record.time))
    assert store.append(entries) == frozenset()


def write_once(number: int, write: Callable[[SqliteStore], None]) -> None:
    """Make the journal of a format in a folder that is not there yet, and take it away again if it names this machine.

    The folder is the one that is kept, or else the command's argument.
    """
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else journal_of(number)
    if folder.exists():
        raise SystemExit(f"{folder} is there, and stays as it is")
    store = SqliteStore(folder)
    write(store)
    store._writer.execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    store.close()
    (folder / ".gitignore").unlink()
    for file in (path for path in folder.rglob("*") if path.is_file()):
        file.chmod(0o644)
        if any(name.encode() in file.read_bytes() for name in (socket.gethostname(), str(Path.cwd()), sys.prefix)):
            shutil.rmtree(folder)
            raise SystemExit(f"{file} names this machine")
    print(f"written to {folder}:", *sorted(str(path.relative_to(folder)) for path in folder.rglob("*")))
