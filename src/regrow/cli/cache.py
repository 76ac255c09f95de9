"""`regrow cache ls`, `show`, `rm` and `gc`: what runs share, without touching any run."""

from __future__ import annotations

import time

import click
from rich.table import Table
from rich.text import Text

from regrow.amounts import counted
from regrow.cli.documents import artifact_document, error_document
from regrow.cli.session import Mistake, Session, in_session, out, say, shared_options
from regrow.cli.terminal import console, error_lines, plain
from regrow.cli.terminal import show as show_lines
from regrow.cli.tree_lines import ago, moment
from regrow.errors import StoreError
from regrow.insight.cached import blob_sizes, find_artifact, outdated, size_of
from regrow.insight.preview import preview
from regrow.insight.runs import short
from regrow.journal.cache import Artifact, ArtifactRow
from regrow.journal.store import Store
from regrow.values.durations import readable, seconds
from regrow.values.money import readable_money
from regrow.values.sizes import readable_size, size

_SHOWN = 8
"""Characters of a key that a list shows."""


@click.group(epilog="Example: regrow cache gc --older-than 30d --max-bytes 2Gi")
@in_session
@click.pass_context
def cache(context: click.Context, session: Session) -> None:
    """Look at the outcomes that runs share, and remove them.

    What was removed is computed again when a call needs it. Runs that have used it keep what they recorded.
    """
    session.command = f"cache {context.invoked_subcommand}"


@cache.command(epilog="Example: regrow cache ls --json")
@shared_options
@in_session
def ls(session: Session) -> None:
    """List what the cache holds, what was used last coming first."""
    rows, sizes = _found(session)
    if session.json:
        session.document(artifacts=[artifact_document(row, size_of(row, sizes)) for row in rows])
        return
    if not rows:
        say(f"the cache of {session.folder}{session.of_project} is empty; @regrow.step(cache=True) fills it")
        return
    now = time.time()
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("key", "of", "computed", "took", "hits", "used", "size"):
        table.add_column(title, no_wrap=True, justify="right" if title in ("took", "hits", "size") else "left")
    for row in rows:
        table.add_row(
            Text(row.key[:_SHOWN], style="bold"),
            plain(row.ref.rpartition(":")[2] + (" (failed)" if row.failed else "")),
            Text(ago(now - row.computed)),
            Text(_worth(row)),
            Text(str(row.hits)),
            Text(ago(now - row.used)),
            Text(readable_size(size_of(row, sizes))),
        )
    console().print(table)


@cache.command(epilog="Example: regrow cache show 3fa9c2d1")
@click.argument("key", metavar="KEY")
@shared_options
@in_session
def show(session: Session, *, key: str) -> None:
    """Show one artifact: where it is from, how often it was used, and its value. KEY is the beginning of its key."""
    rows, sizes = _found(session)
    row = find_artifact(rows, key)
    store = session.store()
    artifact = store.cache.artifact(row.key)
    value, problem = _value(store, artifact)
    if session.json:
        failed = error_document(artifact.error if artifact is not None else None)
        document = artifact_document(row, size_of(row, sizes))
        session.document(artifact=document, value=value, error=failed, problem=problem)
        return
    facts = [
        ("key", row.key),
        ("of", row.ref),
        ("from", f"{row.path} of run {short(row.run)}"),
        ("computed", f"{moment(row.computed)} in {_worth(row)}"),
        ("hits", f"{row.hits}, which saved {_worth(row, row.hits)}"),
        ("used", moment(row.used)),
        ("size", readable_size(size_of(row, sizes))),
    ]
    show_lines(Text.assemble((f"{name:<10}", "dim"), plain(text)) for name, text in facts)
    if problem is not None:
        show_lines([plain(f"it cannot be read: {problem}", "red")])
    elif artifact is not None and artifact.error is not None:
        show_lines(error_lines(artifact.error))
    else:
        show_lines([plain(value or "")])


@cache.command(epilog="Example: regrow cache rm 3fa9c2d1")
@click.argument("keys", metavar="KEY...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@shared_options
@in_session
def rm(session: Session, *, keys: tuple[str, ...], everything: bool) -> None:
    """Remove artifacts. KEY is the beginning of a key."""
    if bool(keys) == everything:
        raise Mistake("name the artifacts to be removed by their keys, or write --all")
    rows, sizes = _found(session)
    _remove(session, rows if everything else [find_artifact(rows, key) for key in keys], sizes, dry_run=False)


@cache.command(epilog="Example: regrow cache gc --older-than 30d --max-bytes 2Gi --dry-run")
@click.option("--older-than", metavar="SPAN", help="Remove what has not been used for so long.")
@click.option("--max-bytes", metavar="SIZE", help="Remove what was used longest ago until the rest is no larger.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@shared_options
@in_session
def gc(session: Session, *, older_than: str | None, max_bytes: str | None, dry_run: bool) -> None:
    """Remove what was not used for long, or takes up too much.

    The blobs that nothing else needs go with the next `regrow gc`, an hour later at the earliest.
    """
    if older_than is None and max_bytes is None:
        raise Mistake("say what may go: --older-than 30d, --max-bytes 2Gi, or both")
    rows, sizes = _found(session)
    age = None if older_than is None else seconds(older_than, what="--older-than")
    room = None if max_bytes is None else size(max_bytes, what="--max-bytes")
    _remove(session, outdated(rows, sizes, now=time.time(), older_than=age, max_bytes=room), sizes, dry_run=dry_run)


def _worth(row: ArtifactRow, times: int = 1) -> str:
    """Say what it took to compute an artifact, so many times: time, and money where that was reported."""
    cost = f" and {readable_money(times * row.cost)}" if row.cost and times else ""
    return f"{readable(times * row.seconds)}{cost}"


def _found(session: Session) -> tuple[list[ArtifactRow], dict[str, int]]:
    store = session.store()
    return [row for row in store.cache.rows() if row.project == session.project], blob_sizes(store)


def _value(store: Store, artifact: Artifact | None) -> tuple[str | None, str | None]:
    """Give an artifact's value for people, or why it cannot be read. Nothing is put together for that."""
    if artifact is None:
        return None, "it is damaged"
    if artifact.value is None:
        return None, None
    try:
        data = artifact.value if isinstance(artifact.value, bytes) else store.blobs.get(artifact.value.digest)
    except StoreError as problem:
        return None, str(problem)
    return preview(data, width=400), None


def _remove(session: Session, rows: list[ArtifactRow], sizes: dict[str, int], *, dry_run: bool) -> None:
    freed = sum(size_of(row, sizes) for row in rows)
    if rows and not dry_run:
        session.store().cache.discard(tuple(row.key for row in rows), now=time.time())
    if session.json:
        documents = [artifact_document(row, size_of(row, sizes)) for row in rows]
        session.document(dry_run=dry_run, artifacts=documents, bytes=freed)
        return
    for row in rows:
        out(f"{row.key[:_SHOWN]}  {row.ref.rpartition(':')[2]}  used {ago(time.time() - row.used)}")
    verb = "would remove" if dry_run else "removed"
    say(f"{verb} {counted(len(rows), 'artifact')}, {readable_size(freed)}")
