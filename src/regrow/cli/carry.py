"""`regrow export` and `import`: a run as one file, from one machine to another."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from regrow.cli.documents import run_document
from regrow.cli.session import Mistake, Session, in_session, say, shared_options
from regrow.cli.terminal import bar
from regrow.insight.runs import find_run, short
from regrow.journal import archive as archives
from regrow.journal.archive import Archive, Manifest


@click.command(epilog="Example: regrow export @failed -o failed.regrow")
@click.argument("run", metavar="RUN")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Where to. Otherwise the run's short id with .regrow, here.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@shared_options
@in_session
def export(session: Session, *, run: str, output: Path | None, force: bool) -> None:
    """Write a run into one file: its journal, logs and large values, the memories that it has used, and its source.

    It can be looked at, debugged and gone on with wherever that is imported. What it was given and what it gave is all
    in there, and so are its agent's memories up to then: hand it on as you would the data itself.
    """
    store = session.store()
    row = find_run(store, run, session.project)
    target = output if output is not None else Path(f"{short(row.id)}.regrow")
    if target.exists() and not force:
        raise Mistake(f"{target} is there already; name another file with -o, or replace it with --force")
    with bar("writing blobs", len(store.referenced_blobs(row.id))) as advance:
        try:
            manifest = archives.export(store, row, target, advance=advance)
        except OSError as problem:
            raise Mistake(f"cannot write {target}: {problem.strerror or problem}") from None
    say(f"run {short(row.id)} is in {target}; on another machine: regrow import {target.name}")
    if manifest.source is None:
        say("the source of its task was not found, and is not in there")
    elif manifest.source.as_run is False:
        say(f"{manifest.source.name} was edited since the run began; the file as it is now is in there")
    if session.json:
        session.document(run=run_document(row), file=str(target), bytes=target.stat().st_size, source=manifest.source)


@click.command("import", epilog="Example: regrow import failed.regrow --code . && regrow debug @last --file agent.py")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--key", metavar="KEY", help="Its key here. Otherwise the one that it has.")
@click.option("--code", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Put the source of its task there; a file that is there is left alone.")  # fmt: skip
@click.option("--memories", is_flag=True, help="Bring its agent's memories, too: other agents will read them.")
@shared_options
@in_session
def import_(session: Session, *, file: Path, key: str | None, code: Path | None, memories: bool) -> None:
    """Add an exported run to this store. Nothing of it is executed.

    Every record and every blob is checked. It comes under this store's project, with its own id; a second import of
    the same run changes nothing.
    """
    try:
        archive = Archive(file)
    except OSError as problem:
        raise Mistake(f"cannot read {file}: {problem.strerror or problem}") from None
    with archive:
        manifest = archive.manifest
        store = session.host(create=True).store
        with bar("reading blobs", len(manifest.blobs)) as advance:
            fresh = archive.bring_into(
                store,
                project=session.project,
                key=key if key is not None else manifest.key,
                with_memories=memories,
                advance=advance,
            )
        placed = _place(archive, code) if code is not None else None
    name = short(manifest.run)
    say(f"run {name} of {manifest.task} is here{'' if fresh else ' already'}; look at it: regrow show {name}")
    if archive.memories:
        named = ", ".join(archive.memories)
        say(f"it has used {named}, {'which came along' if memories else 'which stayed behind; --memories brings them'}")
    if placed is not None:
        say(f"its source is {placed}; commands that load it take --file {shlex.quote(str(placed))}")
    if session.json:
        session.document(
            run=run_document(store.get(manifest.run)),
            fresh=fresh,
            source=_said(manifest, placed),
            memories=archive.memories if memories else (),
        )


def _place(archive: Archive, folder: Path) -> Path | None:
    """Put the source file into a folder, under its plain name."""
    found = archive.code()
    if found is None:
        say("the source of its task is not in the file")
        return None
    name, data = found
    target = folder / name
    try:
        if target.exists() and target.read_bytes() != data:
            say(f"{target} is there already, and is left as it is")
            return None
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except OSError as problem:
        raise Mistake(f"cannot write {target}: {problem.strerror or problem}") from None
    return target


def _said(manifest: Manifest, placed: Path | None) -> dict[str, object] | None:
    if manifest.source is None:
        return None
    return {"name": manifest.source.name, "as_run": manifest.source.as_run, "placed": placed and str(placed)}
