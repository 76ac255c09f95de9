"""Files and large values live in blobs, durable before the record that needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import regrow
from regrow.authoring.home import forget, host_of
from regrow.journal.sqlite import SqliteStore


def live(task: Any, *args: Any, home: Path) -> Any:
    host = host_of(home)
    try:
        return regrow.run(task, *args, key="k", store=home)
    finally:
        forget(host)


def test_a_file_that_a_step_returned_is_there_after_its_original_is_gone(tmp_path: Path) -> None:
    source = tmp_path / "report.csv"
    survive = []

    @regrow.step
    def write() -> regrow.File:
        source.write_text("a,b\n1,2\n")
        return regrow.File(source)

    @regrow.task
    def agent() -> str:
        file = write()
        if not survive:
            raise KeyboardInterrupt
        return f"{file.name}: {file.read_text()}"

    with pytest.raises(KeyboardInterrupt):
        live(agent, home=tmp_path / "store")
    source.unlink()
    survive.append(True)
    assert live(agent, home=tmp_path / "store") == "report.csv: a,b\n1,2\n"


def test_a_large_result_becomes_one_blob_and_an_equal_one_the_same(tmp_path: Path) -> None:
    @regrow.step
    def large() -> bytes:
        return b"x" * 300_000

    @regrow.task
    def agent() -> int:
        return len(large()) + len(large())

    home = tmp_path / "store"
    assert live(agent, home=home) == 600_000
    store = SqliteStore(home)
    blobs = [digest for digest, _, _ in store.blobs.digests()]
    assert len(blobs) == 1
    assert store.referenced_blobs() == set(blobs)
    assert sum(len(record.body) for record in store.read(store.runs()[0].id)) < 3_000
    store.close()


@pytest.mark.promise("P7")
def test_a_blob_that_was_damaged_is_never_served(tmp_path: Path) -> None:
    survive = []

    @regrow.step
    def large() -> bytes:
        return b"x" * 300_000

    @regrow.task
    def agent() -> int:
        size = len(large())
        if not survive:
            raise KeyboardInterrupt
        return size

    home = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        live(agent, home=home)
    (blob,) = (home / "blobs").glob("??/*")
    blob.chmod(0o600)
    blob.write_bytes(b"y" + blob.read_bytes()[1:])
    survive.append(True)
    with pytest.raises(regrow.Corrupted, match="damaged"):
        live(agent, home=home)
