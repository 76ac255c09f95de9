from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import shutil

import msgspec
import pytest

from regrow.codec import decode, encode
from regrow.errors import Corrupted, NotStorable, UsageError
from regrow.values.files import Dir, DirEntry, File
from regrow.values.secret import Secret, contains_secret, redact

pytestmark = pytest.mark.unit


class Folder:
    """Blobs in a directory."""

    def __init__(self, root):
        self.root = root

    def put_file(self, path):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copyfile(path, self.root / digest)
        return digest

    def path_of(self, digest):
        if not (self.root / digest).exists():
            raise Corrupted(digest)
        return self.root / digest


@pytest.fixture
def blobs(tmp_path):
    (tmp_path / "blobs").mkdir()
    return Folder(tmp_path / "blobs")


def test_files(tmp_path, blobs):
    path = tmp_path / "a.txt"
    path.write_text("hello")
    file = File(path)
    with pytest.raises(NotStorable, match="can only be stored by a run"):
        encode(file)
    data = encode([file], blobs=blobs)
    [back] = decode(data, blobs=blobs)
    assert (back, back.name, back.size, back.digest) == (file, "a.txt", 5, file.digest)
    assert back.read_text() == "hello"
    with back.open() as opened:
        assert opened.read() == back.read_bytes() == b"hello"
    (tmp_path / "out").mkdir()
    assert back.copy_to(tmp_path / "out") == tmp_path / "out" / "a.txt"
    [facts] = decode(data)
    assert facts.size == 5
    with pytest.raises(UsageError, match="not at hand"):
        facts.read_bytes()
    path.write_text("changed")
    with pytest.raises(NotStorable, match="changed after its digest"):
        encode(file, blobs=blobs)
    with pytest.raises(NotStorable, match="No such file"):
        encode(File(tmp_path / "none"), blobs=blobs)


def test_directories(tmp_path, blobs):
    root = tmp_path / "d"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "run").write_text("#!")
    (root / "sub" / "run").chmod(0o755)
    (root / "b").write_text("b")
    (root / "link").symlink_to("b")
    value = Dir(root)
    assert [entry.path for entry in value.files] == ["b", "link", "sub/run"]
    back = decode(encode(value, blobs=blobs), blobs=blobs)
    assert back == value
    assert back.digest == value.digest
    copied = back.copy_to(tmp_path / "copy")
    assert Dir(copied) == value
    assert os.access(copied / "sub" / "run", os.X_OK)
    with pytest.raises(UsageError, match="not empty"):
        back.copy_to(copied)
    (root / "out").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="leads out of"):
        Dir(root).files  # noqa: B018


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a//b", "", ".", "a\0b"])
def test_a_stored_directory_cannot_write_elsewhere(path):
    with pytest.raises(Corrupted):
        Dir.stored((DirEntry(path, "0" * 64, 0, False),), None)
    payload = msgspec.msgpack.encode([[path, "0" * 64, 0, False]])
    with pytest.raises(Corrupted):
        decode(b"\x01" + msgspec.msgpack.encode(msgspec.msgpack.Ext(61, payload)))


def test_secrets_do_not_show(monkeypatch):
    secret = Secret("s3cr3t-value")
    assert {repr(secret), str(secret), f"{secret}", f"{secret:>3}"} == {"Secret(***)"}
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert copy.deepcopy(secret) is secret
    assert secret == Secret("s3cr3t-value")
    assert secret != Secret("another")
    assert redact("a s3cr3t-value b") == "a [secret] b"
    assert contains_secret(b"..s3cr3t-value..")
    with pytest.raises(NotStorable, match="never stored"):
        encode({"key": secret})
    with pytest.raises(NotStorable, match="holds the value of a Secret"):
        encode(["x s3cr3t-value"])
    del secret
    assert redact("a s3cr3t-value b") == "a s3cr3t-value b"
    monkeypatch.setenv("THE_KEY", "from-the-env")
    reference = decode(encode(Secret.from_env("THE_KEY")))
    assert redact("from-the-env") == "from-the-env"  # nobody has seen it yet
    assert reference.reveal() == "from-the-env"
    del reference
    assert redact("from-the-env") == "[secret]"
    with pytest.raises(UsageError, match="NO_SUCH"):
        Secret.from_env("NO_SUCH").reveal()


def test_a_secret_within_another():
    keep = [Secret("abcd"), Secret("abcdefgh"), Secret("abc")]
    assert redact("abcdefgh abcd abc") == "[secret] [secret] abc"
    assert keep


def test_a_secret_with_line_ends_is_found_in_other_spellings():
    key = Secret("-----BEGIN\nabc'd\n")
    assert redact(f"got {key.reveal()!r}") == 'got "[secret]"'
    assert contains_secret(json.dumps({"k": key.reveal()}).encode())
