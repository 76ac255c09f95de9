"""Values on their way into records: small ones in place, large ones and files as blobs, and every blob is named."""

from __future__ import annotations

import pytest

from regrow import File
from regrow.codec import encode
from regrow.engine.vault import INLINE_BYTES, INPUT_BYTES, NOTHING, Vault
from regrow.errors import NotStorable
from regrow.journal.blobs import MemoryBlobs
from regrow.journal.records import BlobRef


@pytest.fixture
def vault():
    return Vault(MemoryBlobs())


def test_a_value_becomes_a_blob_when_it_is_larger_than_what_may_lie_in_place(vault):
    size = len(encode("x" * 100))
    assert vault.keep("x" * 100, "result", inline_bytes=size).value == encode("x" * 100)
    assert vault.keep("x" * 100, "result", inline_bytes=size).blobs == ()
    kept = vault.keep("x" * 100, "result", inline_bytes=size - 1)
    assert isinstance(kept.value, BlobRef)
    assert kept.value.size == size
    assert kept.blobs == (kept.value.digest,)
    assert vault.load(kept.value) == "x" * 100


def test_64_kibibytes_lie_in_place_unless_somebody_says_otherwise(vault):
    assert INLINE_BYTES == 64 * 1024
    assert isinstance(vault.keep(b"x" * 60_000, "result").value, bytes)
    assert isinstance(vault.keep(b"x" * 70_000, "result").value, BlobRef)


def test_inputs_of_4_kibibytes_are_kept_for_people_to_read():
    assert INPUT_BYTES == 4096


def test_files_go_into_blobs_that_are_named_beside_the_values_own(vault, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    small, large = vault.keep(File(path), "result"), vault.keep([File(path)], "result", inline_bytes=0)
    (content,) = small.blobs
    assert vault.blobs.get(content) == b"content"
    assert isinstance(large.value, BlobRef)
    assert large.blobs == (content, large.value.digest)
    path.unlink()
    assert vault.load(small.value).path.read_bytes() == b"content"


def test_a_file_that_is_in_the_store_already_can_be_kept_again(vault, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    first = vault.keep(File(path), "result")
    again = vault.keep(vault.load(first.value), "result")
    assert vault.load(again.value).path.read_bytes() == b"content"


def test_what_cannot_be_stored_is_said_to_be_where_it_was_found(vault):
    with pytest.raises(NotStorable, match=r"^chunk"):
        vault.keep([object()], "chunk")


def test_a_loaded_value_is_a_new_one_each_time(vault):
    kept = vault.keep([1, 2], "result")
    vault.load(kept.value).append(3)
    assert vault.load(kept.value) == [1, 2]


def test_nothing_is_none(vault):
    assert vault.load(NOTHING) is None
