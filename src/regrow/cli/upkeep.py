"""`regrow doctor`, `gc` and `version`: the machine, the store, and what has piled up in it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import click
import msgspec
from rich.text import Text

from regrow._version import __version__
from regrow.amounts import counted
from regrow.cli.documents import run_document
from regrow.cli.session import Leave, Session, in_session, out, say, shared_options
from regrow.cli.terminal import bar, console, mark, plain
from regrow.engine.invariants import check_run
from regrow.errors import RegrowError, StoreError
from regrow.executors.limits.survey import Layer, survey
from regrow.insight.collect import loose_blobs, old_runs
from regrow.insight.needed import needed_blobs
from regrow.insight.runs import find_run, short
from regrow.insight.stops import lift_command, stop_words
from regrow.journal.chain import unseal_all
from regrow.journal.orders import Stop
from regrow.journal.records import RunCreated, RunEnded, RunRetried
from regrow.journal.sqlite import FORMAT
from regrow.journal.store import LEASE_SECONDS, DamagedRow, RunRow, Store
from regrow.values.durations import readable, seconds


class Problem(msgspec.Struct, frozen=True):
    """Something that is wrong.

    Attributes:
        text: what, in a sentence.
        run: in which run, if it is in one.
        record: at which of its records, if it is known.
    """

    text: str
    run: str | None = None
    record: int | None = None


class _Findings:
    """What a check has seen."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.runs = 0
        self.records = 0
        self.blobs = 0
        self.interrupted = 0
        self.paused = 0
        self.stops: list[Stop] = []
        self.owners: dict[str, str] = {}


@click.command(epilog="Example: regrow doctor && echo all is well")
@click.argument("run", metavar="[RUN]", required=False)
@shared_options
@in_session
def doctor(session: Session, *, run: str | None) -> None:
    """Report on this machine, and verify the store: every record's place in its chain, every invariant, every blob.

    With RUN, only that run. The exit code is 1 if anything is wrong.
    """
    limits = survey()
    facts = _host_facts(session.folder) | {"limits": _limits(limits)}
    found = _Findings()
    exists = (session.folder / "journal.db").exists()
    if exists:
        try:
            _check(session.store(), found, run, session.project)
        except StoreError as problem:
            found.problems.append(Problem(str(problem)))
    notes = _notes(session, found, exists=exists)
    if session.json:
        session.document(
            host=facts,
            limits=limits,
            runs=found.runs,
            records=found.records,
            blobs=found.blobs,
            problems=found.problems,
            notes=notes,
        )
    else:
        _report_host(facts, limits)
        _report(found, notes)
    if found.problems:
        raise Leave


def _check(store: Store, found: _Findings, typed: str | None, project: str) -> None:
    damaged: list[DamagedRow] = []
    rows = store.runs(damaged=damaged) if typed is None else [find_run(store, typed, project)]
    found.stops = store.stops()
    found.problems.extend(Problem(sentence) for sentence in store.check())
    found.problems.extend(Problem(one.text, one.run) for one in damaged)
    with bar("verifying runs", len(rows)) as advance:
        for row in rows:
            _check_one(store, row, found)
            advance()
    digests = sorted(store.referenced_blobs()) if typed is None else sorted(found.owners)
    with bar("verifying blobs", len(digests)) as advance:
        for digest in digests:
            found.blobs += 1
            try:
                store.blobs.path_of(digest)
            except StoreError as problem:
                found.problems.append(Problem(str(problem), found.owners.get(digest)))
            except OSError as problem:
                found.problems.append(
                    Problem(f"blob {digest} cannot be read: {problem.strerror}", found.owners.get(digest))
                )
            advance()


def _check_one(store: Store, row: RunRow, found: _Findings) -> None:
    found.runs += 1
    stored = store.read(row.id)
    try:
        records = unseal_all(row.id, stored)
    except RegrowError as problem:
        found.problems.append(Problem(str(problem), row.id, _first_bad(row.id, stored)))
        return
    found.records += len(records)
    found.interrupted += row.status == "interrupted"
    found.paused += row.status == "paused"
    for violation in check_run(records):
        found.problems.append(
            Problem(f"run {row.id}: record {violation.seq}: {violation.text} ({violation.rule})", row.id, violation.seq)
        )
    referenced = store.referenced_blobs(row.id)
    for digest in referenced:
        found.owners.setdefault(digest, row.id)
    needed = needed_blobs(records, store.blobs)
    outcome = None
    for record in records:
        if isinstance(record.event, RunEnded):
            outcome = record.event.outcome
        elif isinstance(record.event, RunRetried):
            outcome = None
    # A run that is being driven may have moved on between the two readings.
    if row.held or store.get(row.id) != row:
        return
    if records and isinstance(records[0].event, RunCreated):
        found.problems.extend(Problem(f"run {row.id}: {text}", row.id, 1) for text in _misnamed(row, records[0].event))
    for digest in sorted(needed.keys() - referenced):
        text = f"run {row.id}: record {needed[digest]} needs blob {digest}, and the store does not list it for this run"
        found.problems.append(Problem(text, row.id, needed[digest]))
    if outcome != row.outcome:
        said, listed = outcome or "unfinished", row.outcome or "unfinished"
        found.problems.append(Problem(f"run {row.id}: its records say {said}, the list of runs says {listed}", row.id))


def _misnamed(row: RunRow, created: RunCreated) -> Iterator[str]:
    """Compare what the list of runs calls a run with what its first record does.

    An import gives it a key and a project of its own, and takes note of these.
    """
    names: list[tuple[str, str | None, str | None]] = [("task", row.task, created.task)]
    if not row.imported:
        names += [("key", row.key, created.key), ("project", row.project, created.project)]
    for what, listed, recorded in names:
        if listed != recorded:
            yield f"the list of runs says that its {what} is {listed!r}, its first record says {recorded!r}"


def _first_bad(run: str, stored: list[Any]) -> int:
    for length in range(1, len(stored) + 1):
        try:
            unseal_all(run, stored[:length])
        except RegrowError:
            return length
    return len(stored)


def _host_facts(place: Path) -> dict[str, str]:
    carried = "carried by apsw" if apsw.using_amalgamation else "of the system"
    facts = {
        "regrow": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})",
        "platform": platform.platform(),
        "processors": str(os.cpu_count() or "unknown"),
        "sqlite": f"{apsw.sqlite_lib_version()} ({carried}, apsw {apsw.apsw_version()})",
        "store": str(place.absolute()),
    }
    journal = place / "journal.db"
    if journal.exists():
        mode = place.stat().st_mode & 0o777
        facts["mode"] = f"{mode:04o}" + ("" if mode & 0o077 == 0 else " (others may look in: chmod 700)")
        facts["format"] = f"{FORMAT} (what this regrow writes)"
        facts["size"] = _bytes(sum(one.stat().st_size for one in place.glob("journal.db*")))
        facts["journal mode"] = (
            f"{_journal_mode(journal)}, synchronous FULL: a commit that was acknowledged is on the disk"
        )
    nearest = next(one for one in (place.absolute(), *place.absolute().parents) if one.exists())
    facts["free space"] = _bytes(shutil.disk_usage(nearest).free)
    facts["leases"] = f"{LEASE_SECONDS:g} s, and at once when their process is gone"
    return facts


def _limits(found: tuple[Layer, ...]) -> str:
    count = sum(layer.in_force for layer in found)
    return f"{count} of {len(found)} layers are in force for a task that declares a limit, or isolate=True"


def _journal_mode(journal: Path) -> str:
    try:
        db = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            ((mode,),) = db.execute("PRAGMA journal_mode").fetchall()
        finally:
            db.close()
    except apsw.Error as problem:
        return f"cannot be asked ({problem})"
    return str(mode).upper()


def _notes(session: Session, found: _Findings, *, exists: bool) -> list[str]:
    notes = []
    if not exists:
        notes.append(f"there is no store at {session.folder} yet; a first run makes one")
    notes += [
        f"{stop_words(one)}; to lift that: {lift_command(one.project, session.store_option)}" for one in found.stops
    ]
    if found.interrupted:
        waiting = counted(found.interrupted, "interrupted run waits", "interrupted runs wait")
        notes.append(f"{waiting} to be resumed: regrow ls --status interrupted{session.options}")
    if found.paused:
        paused = counted(found.paused, "run is paused", "runs are paused")
        notes.append(f"{paused} until somebody resumes them: regrow ls --status paused{session.options}")
    return notes


def _report_host(facts: dict[str, str], limits: tuple[Layer, ...]) -> None:
    target = console()
    width = max(map(len, facts))
    for name, value in facts.items():
        target.print(Text.assemble((f"{name:<{width}}  ", "dim"), plain(value)), soft_wrap=True)
    width = max(len(layer.name) for layer in limits)
    for layer in limits:
        sign = mark("succeeded", encoding=target.encoding) if layer.in_force else Text("-", style="yellow")
        line = Text.assemble("  ", sign, " ", (f"{layer.name:<{width}}  ", "dim"), plain(layer.meaning))
        target.print(line, soft_wrap=True)
    target.print()


def _report(found: _Findings, notes: list[str]) -> None:
    target = console()
    if found.problems:
        for problem in found.problems:
            target.print(
                Text.assemble(mark("failed", encoding=target.encoding), " ", plain(problem.text, "red")), soft_wrap=True
            )
        target.print(Text(f"{counted(len(found.problems), 'problem')} found", style="bold red"), soft_wrap=True)
    else:
        sound = f"{counted(found.runs, 'run')}, {counted(found.records, 'record')} and {counted(found.blobs, 'blob')}"
        text = f" {sound}: all as written"
        target.print(Text.assemble(mark("succeeded", encoding=target.encoding), text), soft_wrap=True)
    for note in notes:
        target.print(plain(note, "dim"), soft_wrap=True)


@click.command(epilog="Example: regrow gc --older-than 7d --dry-run")
@click.option(
    "--older-than", default="30d", show_default=True, metavar="SPAN", help="Remove runs that ended so long ago."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@shared_options
@in_session
def gc(session: Session, *, older_than: str, dry_run: bool) -> None:
    """Remove runs of this project that ended long ago, and blobs that no run of any needs.

    A run that has not ended is never removed, and no blob that is younger than an hour.
    """
    store = session.store()
    now = time.time()
    rows = old_runs(store, now=now, older_than=seconds(older_than, what="--older-than"), project=session.project)
    if not dry_run:
        for row in rows:
            store.delete(row.id)
    count = size = 0
    for blob in loose_blobs(store, now=now):
        if blob.needed_by is not None:
            say(
                f"blob {blob.digest} stays: run {blob.needed_by} needs it, though the store does not list it for that "
                f"run; `regrow doctor` says more"
            )
            continue
        count += 1
        size += blob.size
        if not dry_run:
            store.blobs.delete(blob.digest)
    if session.json:
        session.document(dry_run=dry_run, runs=[run_document(row) for row in rows], blobs=count, bytes=size)
        return
    for row in rows:
        out(f"{short(row.id)}  {row.outcome}  {row.task}  ended {readable(now - (row.ended or now))} ago")
    verb = "would remove" if dry_run else "removed"
    more = " (and the blobs of those runs)" if dry_run and rows else ""
    say(f"{verb} {len(rows)} runs and {count} blobs, {_bytes(size)}{more}")


@click.command(epilog="Example: regrow version --json")
@shared_options
@in_session
def version(session: Session) -> None:
    """Say which regrow this is."""
    sqlite = apsw.sqlite_lib_version()
    if session.json:
        session.document(
            regrow=__version__, python=platform.python_version(), sqlite=sqlite, platform=platform.platform()
        )
        return
    machine = f"{platform.system()} {platform.machine()}"
    out(f"regrow {__version__} (Python {platform.python_version()}, SQLite {sqlite}, {machine})")


def _bytes(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:  # noqa: PLR2004 - the step between the units
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
