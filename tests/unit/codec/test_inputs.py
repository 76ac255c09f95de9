from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import regrow.codec
from regrow.codec import decode, digest_inputs
from regrow.errors import NotStorable
from regrow.values.files import File
from regrow.values.secret import Secret

pytestmark = pytest.mark.unit


def digest(*values, allow_opaque=False):
    return digest_inputs(values, allow_opaque=allow_opaque).digest


@given(st.dictionaries(st.text() | st.integers(), st.integers() | st.sets(st.text()), max_size=6), st.randoms())
def test_the_order_of_a_dict_does_not_count_but_is_kept(mapping, random):
    items = list(mapping.items())
    random.shuffle(items)
    assert digest(mapping) == digest(dict(items))
    assert list(decode(digest_inputs([dict(items)], allow_opaque=False).data)[0]) == [k for k, _ in items]


def test_different_values_differ():
    values = [1, 1.0, True, "1", b"1", (1,), [1], {1}, frozenset({1}), None, 0, -0.0, 0.0, {"1": 1}, {1: 1}, 2**70]
    assert len({digest(value) for value in values}) == len(values)


_CHILD = """
import sys; sys.path.insert(0, sys.argv[1])
from regrow.codec import digest_inputs
from pathlib import PurePosixPath
v = ({"a", "b", "c", ("x", 1)}, {"q": {"z", "y"}, "p": 1}, {("k", "l"): frozenset("abcdef")}, PurePosixPath("a"))
print(digest_inputs(v, allow_opaque=False).digest.hex())
"""


def test_the_hash_seed_does_not_count():
    src = str(Path(regrow.codec.__file__).parents[2])
    seen = {
        subprocess.run(
            [sys.executable, "-c", _CHILD, src],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in range(4)
    }
    assert len(seen) == 1


class Client:
    pass


def test_opaque_arguments_count_by_type():
    inputs = digest_inputs((Client(), [Client()], "p"), allow_opaque=True)
    assert inputs.data is None
    assert inputs.digest == digest(Client(), [Client()], "p", allow_opaque=True)
    assert inputs.digest != digest(Client(), [Client()], "q", allow_opaque=True)
    assert digest(len, allow_opaque=True) != digest(max, allow_opaque=True)
    with pytest.raises(NotStorable, match=r"argument\[1\]\[0\]: a .*Client has no durable form"):
        digest_inputs((1, [Client()]), allow_opaque=False)
    with pytest.raises(NotStorable, match=r"argument\['c'\]"):
        digest_inputs({"c": Client()}, allow_opaque=False)


def test_an_unlisted_dataclass_counts_by_content():
    @dataclasses.dataclass
    class Setting:
        n: int

    assert digest(Setting(1), allow_opaque=True) != digest(Setting(2), allow_opaque=True)
    assert digest_inputs([Setting(1)], allow_opaque=True).data is None


def test_secrets():
    key = Secret("sk-123456")
    assert digest(key) == digest(Secret("other-key"))
    assert digest_inputs([key], allow_opaque=False).data is None
    assert digest_inputs(["key is sk-123456"], allow_opaque=False).data is None
    reference = digest_inputs([Secret.from_env("NAME")], allow_opaque=False)
    assert decode(reference.data) == [Secret.from_env("NAME")]
    assert reference.digest == digest(key)


def test_files_count_by_content(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert digest(File(tmp_path / "a")) == digest(File(tmp_path / "b"))
    assert digest_inputs([File(tmp_path / "a")], allow_opaque=False).data is None
