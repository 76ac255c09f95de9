"""Stored values as text, without the code that made them."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from regrow.codec import encode, registry
from regrow.insight.preview import preview, preview_inputs
from regrow.values.secret import Secret

pytestmark = pytest.mark.unit


@dataclass
class Spec:
    family: str
    depth: int


class Mode(enum.Enum):
    FAST = 1


registry.allow(Spec)
registry.allow(Mode)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        ([1, "a", True], "[1, 'a', True]"),
        ((1,), "(1,)"),
        ({"a": {1}}, "{'a': {1}}"),
        ({1: "x"}, "{1: 'x'}"),
        (b"abc", "<3 bytes>"),
        (Spec("svm", 3), "Spec(family='svm', depth=3)"),
        ([Mode.FAST], "[Mode.FAST]"),
        (Path("x"), repr(Path("x"))),
        (dt.date(2025, 1, 2), "datetime.date(2025, 1, 2)"),
        (Secret.from_env("TOKEN"), "Secret.from_env('TOKEN')"),
        (np.zeros(3), "<numpy array>"),
        (2**80, str(2**80)),
    ],
)
def test_a_value_is_shown_as_it_would_be_written(value, text):
    assert preview(encode(value)) == text


def test_long_values_are_cut_to_the_width():
    shown = preview(encode(list(range(1000))), width=30)
    assert len(shown) == 30
    assert shown.endswith("…")


@pytest.mark.parametrize("data", [b"", b"\x09", b"\x01", b"\x01\xc1", b"\x01\xd4\x7d\x00", b"\x01\xd4\x28\x00"])
def test_what_cannot_be_read_is_an_ellipsis_and_no_error(data):
    assert preview(data) == "…"


def test_inputs_that_were_not_kept_are_empty():
    assert preview_inputs(b"") == ""
