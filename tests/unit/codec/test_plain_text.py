"""What people are shown: all of it, or how much is missing, and no secret."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pytest

from regrow.codec.plain_text import exhibits_of, shown_to_people
from regrow.errors import OutOfMemory
from regrow.values.files import File
from regrow.values.secret import Secret


@dataclass
class Payment:
    amount: int
    to: str


def test_text_is_shown_as_it_is():
    assert shown_to_people("- a\n+ b") == "- a\n+ b"


def test_a_value_is_shown_with_all_its_fields():
    assert shown_to_people(Payment(3, "x")) == '{\n  "amount": 3,\n  "to": "x"\n}'


def test_a_failure_is_shown_with_its_evidence_and_its_ways_out():
    failure = OutOfMemory("train#1", peak=100 << 20, limit=64 << 20)
    assert "Ways out:" in shown_to_people(failure)


def test_another_exception_is_shown_with_its_type_and_text():
    assert "ValueError: no" in shown_to_people(ValueError("no"))


def test_a_table_is_shown_with_its_size_and_its_first_rows():
    text = shown_to_people(pd.DataFrame({"a": range(100)}))
    assert text.startswith("100 rows, 1 columns, the first 20:")
    assert "\n19  19" in text
    assert "\n20  20" not in text


def test_a_file_is_shown_by_name_size_and_hash(tmp_path):
    (tmp_path / "x.txt").write_text("abc")
    assert "x.txt" in shown_to_people(File(tmp_path / "x.txt"))
    assert "SHA-256 ba7816bf" in shown_to_people(File(tmp_path / "x.txt"))


def test_a_long_text_says_how_much_is_missing():
    assert shown_to_people("x" * 20_007).endswith("[… 7 more characters]")


def test_secrets_are_blanked_wherever_they_stand():
    secret = Secret("hunter2hunter2")
    assert "hunter2" not in shown_to_people({"key": secret, "text": f"use {secret.reveal()}"})


@pytest.mark.parametrize(
    ("evidence", "titles"), [(None, []), ({"a": 1, "b": 2}, ["a", "b"]), ([1, 2], ["1", "2"]), ("x", [""])]
)
def test_evidence_is_one_piece_or_several_by_name_or_number(evidence, titles):
    assert [title for title, _ in exhibits_of(evidence)] == titles
