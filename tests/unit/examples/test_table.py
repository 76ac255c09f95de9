"""What is read from a table, what is put right, and what is refused, each in one sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regrow.examples import columns, csv_file
from regrow.examples.profile import BadTable, TableRef
from regrow.examples.table import held_out_part, load, table_ref, training_part

pytestmark = pytest.mark.unit

HEADER = "size,colour,sold\n"


def rows(count=60, line=lambda i: f"{i % 7 + i / 9:.3f},{('red', 'blue', 'green')[i % 3]},{'yes' if i % 4 else 'no'}"):
    return "".join(f"{line(i)}\n" for i in range(count))


@pytest.fixture
def read(tmp_path):
    def read(content, target="sold", name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(TableRef(str(path), target))

    return read


REFUSED = {
    "no target given": (
        HEADER + rows(),
        None,
        "say with --target which column to predict: the columns of t.csv are size,",
    ),
    "unknown target": (
        HEADER + rows(),
        "zzz",
        "t.csv has no column 'zzz': the columns of t.csv are size, colour, sold",
    ),
    "misspelt target": (HEADER + rows(), "Solt", "t.csv has no column 'Solt' (did you mean 'sold'?): the columns of"),
    "empty file": ("", "sold", "t.csv is empty: a CSV file has a header line and rows"),
    "blank lines": ("\n \n", "sold", "t.csv is empty"),
    "no rows": (HEADER, "sold", "t.csv has a header but no rows: add rows of data, at least 20"),
    "no line end": (HEADER.strip(), "sold", "t.csv has a header but no rows"),
    "one row": (HEADER + rows(1), "sold", "t.csv has 1 row with a known 'sold': add rows, for at least 20 are needed"),
    "one class": (HEADER + rows(40, lambda i: f"{i},red,yes"), "sold", "column 'sold' of t.csv is 'yes' in every row"),
    "one number": (HEADER + rows(40, lambda i: f"{i},red,7"), "sold", "column 'sold' of t.csv is '7' in every row"),
    "no known target": (
        HEADER + rows(40, lambda i: f"{i},red,"),
        "sold",
        "column 'sold' of t.csv is empty in every row",
    ),
    "rare class": (
        HEADER + rows(40, lambda i: f"{i},red,{'odd' if i < 2 else 'yes' if i % 2 else 'no'}"),
        "sold",
        "column 'sold' of t.csv has classes with too few rows, odd (2): each needs at least 5",
    ),
    "names as classes": (
        HEADER + rows(400, lambda i: f"{i},red,n{i % 80}"),
        "sold",
        "column 'sold' of t.csv has 80 classes",
    ),
    "infinite target": (
        HEADER + rows(40, lambda i: f"{i},r,{i * 1.5 or 'inf'}"),
        "sold",
        "column 'sold' of t.csv holds inf",
    ),
    "nothing to learn from": (
        HEADER + rows(40, lambda i: f"1,red,{i % 2}"),
        "sold",
        "t.csv has no column to predict 'sold'",
    ),
    "same name twice": (
        "size,size,sold\n" + rows(),
        "sold",
        "t.csv has more than one column named size: rename or remove",
    ),
    "same name but for blanks": ("size, size,sold\n" + rows(), "sold", "t.csv has more than one column named size"),
    "one column": (
        "sold\n" + "yes\nno\n" * 20,
        "sold",
        "t.csv has one column only, 'sold': a table needs a target and",
    ),
    "no header": ("1,2,3\n4,5,6\n" * 20, "sold", "t.csv begins with a row of numbers (1, 2, 3): add a header line"),
    "a long line": (
        HEADER + rows(9) + "1,2,3,4\n",
        "sold",
        "t.csv cannot be split into columns: line 11 has 4 fields where",
    ),
    "all lines long": (
        HEADER + rows(30, lambda i: f"{i},1,2,3"),
        "sold",
        "t.csv cannot be split into columns: its lines have",
    ),
    "an open quote": (
        HEADER + rows(9) + '1,"red,yes\n',
        "sold",
        "t.csv cannot be split into columns: a quote that is opened",
    ),
    "web page": ("<!DOCTYPE html>\n<html>404</html>", "sold", "t.csv is no CSV file but looks like a web page (HTML)"),
    "JSON": ('[{"size": 1}]', "sold", "t.csv is no CSV file but looks like JSON"),
    "workbook": (b"PK\x03\x04\x14\x00", "sold", "t.csv is no CSV file but looks like an Excel workbook"),
    "UTF-16": ((HEADER + rows()).encode("utf-16"), "sold", "t.csv is no CSV file but looks like text in UTF-16"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", "sold", "t.csv is no CSV file: it holds binary data"),
}


@pytest.mark.parametrize(("content", "target", "says"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_sentence(read, content, target, says):
    with pytest.raises(BadTable) as caught:
        read(content, target)
    message = str(caught.value)
    assert message.startswith(says)
    assert "\n" not in message
    assert not message.endswith(".")
    assert len(message) < 300


def test_refused_places(tmp_path):
    for place, says in [
        (tmp_path, "is a directory: name one CSV file in it"),
        (tmp_path / "none.csv", "there is no file"),
        ("/dev/null", "null is not a regular file"),
    ]:
        with pytest.raises(BadTable, match=says):
            table_ref(place, "sold")
    with pytest.raises(BadTable, match="there is no data set 'iris': choose one of breast_cancer, diabetes, digits"):
        table_ref(dataset="iris")
    with pytest.raises(BadTable, match="did you mean the data set 'diabetes'"):
        load(TableRef("diabets"))


def test_data_sets_that_are_shipped():
    assert load(TableRef("breast_cancer")).profile.classes == {"benign": 357, "malignant": 212}
    assert load(TableRef("diabetes")).profile.goal == "regression"
    assert load(TableRef("digits")).profile.notes[0] == "dropped 'pixel_0_0': it is the same in every row"
    assert load(TableRef("diabetes", "bmi")).profile.target == "bmi"


def test_missing_values_stay_to_be_filled_and_rows_without_target_go(read):
    table = read(
        HEADER + rows(60, lambda i: f"{i % 7 if i % 5 else ''},{f'r{i % 3}' if i % 4 else ''},{'ab'[i % 2] * (i > 5)}")
    )
    size, colour = table.profile.columns
    assert table.profile.rows == 54
    assert table.profile.notes == ["left out 6 rows without a 'sold'"]
    assert (size.kind, size.missing) == ("number", 10)
    assert (colour.kind, colour.missing) == ("text", 13)
    assert table.features["colour"].isna().sum() == 0


def test_what_cannot_tell_anything_is_dropped_and_said(read):
    head = "id,name,empty,same,when,clicks,sold\n"
    table = read(
        head
        + rows(60, lambda i: f"{i},Person {i},,x,2024-01-{i % 28 + 1:02},{i % 9 if i != 7 else 'n.v.'},{i % 2 > 0}")
    )
    assert [column.name for column in table.profile.columns] == ["when", "clicks"]
    assert table.profile.notes == [
        "dropped 'id': it numbers the rows",
        "dropped 'name': 60 different texts in 60 rows are names, not categories",
        "dropped 'empty': it is empty",
        "dropped 'same': it is the same in every row",
        "took 'when' as a date: days since 1970",
        "took 1 value of 'clicks' for missing, being no number",
    ]
    assert table.features["when"].iloc[0] == 19723
    assert math.isnan(table.features["clicks"].iloc[7])


@pytest.mark.parametrize(
    ("value", "goal"),
    [
        (lambda i: i % 3, "classification"),
        (lambda i: "yes" if i % 3 else "no", "classification"),
        (lambda i: i % 3 == 0, "classification"),
        (lambda i: 0.5 if i % 3 else 1.5, "classification"),
        (lambda i: i * 1.1, "regression"),
        (lambda i: i, "regression"),
        (lambda i: (0, 9)[i] if i < 2 else 3 + i % 5, "regression"),  # as classes, 0 and 9 would be too rare
    ],
)
def test_classes_or_a_number(read, value, goal):
    assert read(HEADER + rows(80, lambda i: f"{i % 9},red{i % 2},{value(i)}")).profile.goal == goal


@pytest.mark.parametrize("separator", ",;\t|")
def test_separators(read, separator):
    assert read((HEADER + rows()).replace(",", separator)).profile.names("number") == ["size"]


def test_decimal_comma_byte_order_mark_and_latin_1(read):
    german = read("größe;farbe;sold\n" + rows(60, lambda i: f"{i % 7},5;rot{i % 2};{i % 2}"))
    assert german.features["größe"].max() == 6.5
    assert read("\ufeff" + HEADER + rows()).profile.columns[0].name == "size"
    latin = read((HEADER + rows(60, lambda i: f"{i % 7},gr\xfcn{i % 2},{i % 2}")).encode("latin-1"))
    assert set(latin.features["colour"]) == {"grün0", "grün1"}
    assert latin.profile.notes == ["read the file as Latin-1: it is not UTF-8"]


def test_another_table_under_the_same_name_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + rows())
    ref = table_ref(path, "sold")
    path.write_text(HEADER + rows(61))
    with pytest.raises(
        BadTable, match=r"t\.csv has changed since this run began: put it back as it was, or start a new"
    ):
        load(ref)
    assert table_ref(path, "sold").digest != ref.digest


def test_of_a_large_file_the_same_sample_each_time(read, monkeypatch):
    monkeypatch.setattr(csv_file, "MAX_ROWS", 100)
    first, second = (read(HEADER + rows(1_050), name=name) for name in ("a.csv", "b.csv"))
    assert first.profile.rows == 100
    assert first.profile.notes == ["used 100 of 1,050 rows, chosen by chance"]
    assert first.features.equals(second.features)
    assert first.features.index.is_monotonic_increasing


def test_of_a_large_and_wide_file_fewer_rows(read, monkeypatch):
    monkeypatch.setattr(csv_file, "MAX_VALUES", 180)
    assert read(HEADER + rows(200)).profile.notes == ["used 60 of 200 rows, chosen by chance"]


def test_of_a_wide_file_the_most_complete_columns(read, monkeypatch):
    monkeypatch.setattr(columns, "MAX_COLUMNS", 1)
    table = read(HEADER + rows(60, lambda i: f"{i % 7 if i else ''},red{i % 2},{i % 2}"))
    assert table.profile.names("text") == ["colour"]
    assert table.profile.notes == ["used the 1 most complete of 2 columns"]


def test_held_out_rows_are_nobody_elses_and_every_class_is_on_both_sides(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + rows(100, lambda i: f"{i}.5,red,{'rare' if i % 20 == 0 else 'b' if i % 3 else 'c'}"))
    ref = table_ref(path, "sold")
    training, unseen = training_part(ref, seed=1), held_out_part(ref, seed=1)
    assert not set(training.features["size"]) & set(unseen.features["size"])
    assert len(training.target) + len(unseen.target) == 100
    assert 15 <= len(unseen.target) <= 25
    assert set(training.target) == set(unseen.target) == {0, 1, 2}
    assert set(held_out_part(ref, seed=2).features["size"]) != set(unseen.features["size"])


def test_a_sample_keeps_every_class():
    training = training_part(TableRef("digits"), seed=0)
    sample = training.sample(60, seed=0)
    assert 55 <= len(sample.target) <= 70
    assert np.bincount(sample.target).min() >= 5
    assert training.sample(10_000, seed=0) is training
