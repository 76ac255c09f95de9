"""Which stored contents an encoded value needs, found without its classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest

import regrow
from regrow.codec import encode
from regrow.codec.contents import contents_of
from regrow.values.files import Dir, File

pytestmark = pytest.mark.unit


class Taken:
    """Blobs of which only the digests are kept."""

    def __init__(self):
        self.digests = set()

    def put_file(self, path):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.digests.add(digest)
        return digest


@regrow.storable
@dataclass
class Report:
    text: str
    files: tuple[object, ...]


@pytest.fixture
def put(tmp_path):
    """Encode a value made of a file and a folder of two; give its bytes, and what was stored for it."""
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("one", "folder/two", "folder/deep/three"):
        (tmp_path / name).write_text(name)
    taken = Taken()

    def encoded(make):
        return encode(make(File(tmp_path / "one"), Dir(tmp_path / "folder")), blobs=taken), taken.digests

    return encoded


@pytest.mark.parametrize(
    "make",
    [
        lambda file, folder: [file, folder],
        lambda file, folder: {"a": {1: file}, "b": (folder, {2**70, "x"})},
        lambda file, folder: Report("both", (file, [folder])),
    ],
    ids=["plain", "nested", "an instance"],
)
def test_every_content_that_a_value_needs_is_found_wherever_it_is(put, make):
    data, stored = put(make)
    assert len(stored) == 3
    assert contents_of(data) == stored


def test_text_that_looks_like_a_digest_is_none():
    assert contents_of(encode(["0" * 64, ("f" * 64, 3)])) == frozenset()


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\xc1", b"\x01" + b"\x91" * 5_000, b"\x01\xa1\xff"])
def test_what_cannot_be_read_needs_nothing_that_is_known(data):
    assert contents_of(data) == frozenset()
