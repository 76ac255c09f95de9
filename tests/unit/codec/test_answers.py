"""Answers as JSON: what a type looks like from outside, and which field of an answer does not fit it."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
import pydantic
import pytest

from regrow.codec.json_schema import check
from regrow.codec.json_types import read_json, schema_of, to_json
from regrow.errors import UnfitAnswer, UsageError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    name: str
    price: float
    tags: list[str] = field(default_factory=list)


@dataclass
class Order:
    items: list[Item]
    colour: Colour
    note: str | None = None


class Plan(pydantic.BaseModel):
    title: str
    depth: int = pydantic.Field(ge=1, le=5)
    items: list[Item] = []


Small = Annotated[int, msgspec.Meta(ge=1, le=9)]

FITTING = [
    (bool, "true"),
    (int, "3"),
    (float, "3"),
    (float, "3.5"),
    (str, '"so"'),
    (Literal["a", 2], "2"),
    (Colour, '"blue"'),
    (list[int], "[1, 2]"),
    (tuple[int, str], '[1, "x"]'),
    (dict[str, int], '{"a": 1}'),
    (int | None, "null"),
    (Item, '{"name": "x", "price": 1}'),
    (Order, '{"items": [{"name": "x", "price": 1, "tags": ["t"]}], "colour": "red", "note": null}'),
    (list[Item], '[{"name": "x", "price": 1}]'),
    (Plan, '{"title": "x", "depth": 5, "items": [{"name": "y", "price": 2}]}'),
    (list[Plan], '[{"title": "x", "depth": 1}]'),
    (Small, "9"),
]

UNFIT = [
    (bool, "3", "answer", "true or false"),
    (bool, '"yes"', "answer", "true or false"),
    (int, "3.5", "answer", "whole number"),
    (int, "true", "answer", "whole number"),
    (str, "3", "answer", "a string"),
    (Literal["a", "b"], '"c"', "answer", '"a" or "b"'),
    (Colour, '"green"', "answer", '"blue" or "red"'),
    (list[int], '[1, "x"]', "answer[1]", "whole number"),
    (tuple[int, str], "[1, 2]", "answer[1]", "a string"),
    (tuple[int, str], '[1, "x", 3]', "answer", "at most 2 items"),
    (dict[str, int], '{"a": "x"}', "answer.a", "whole number"),
    (int | None, '"x"', "answer", "null"),
    (Item, '{"name": "x"}', "answer.price", "missing"),
    (Order, '{"items": [{"name": "x", "price": "1"}], "colour": "red"}', "answer.items[0].price", "a number"),
    (Order, '{"items": [], "colour": "pink"}', "answer.colour", "red"),
    (Plan, '{"title": "x", "depth": 9}', "answer.depth", "at most 5"),
    (Plan, '{"title": "x", "depth": 1, "items": [{"name": 3, "price": 1}]}', "answer.items[0].name", "a string"),
    (list[Plan], "{}", "answer", "a list"),
    (Small, "10", "answer", "at most 9"),
]


@pytest.mark.parametrize(("type_", "told"), FITTING, ids=str)
def test_what_fits_a_type_passes_its_schema_and_is_read_as_it(type_, told):
    check(json.loads(told), schema_of(type_))
    value = read_json(told.encode(), type_)
    assert read_json(to_json(value), type_) == value


@pytest.mark.parametrize(("type_", "told", "where", "what"), UNFIT, ids=str)
def test_what_does_not_fit_is_refused_from_outside_with_the_field_that_is_wrong(type_, told, where, what):
    with pytest.raises(UnfitAnswer, match=what) as refused:
        check(json.loads(told), schema_of(type_))
    assert refused.value.where == where


@pytest.mark.parametrize(("type_", "told", "where", "what"), UNFIT, ids=str)
def test_what_does_not_fit_is_refused_inside_too(type_, told, where, what):
    with pytest.raises(UnfitAnswer) as refused:
        read_json(told.encode(), type_)
    assert refused.value.where.startswith("answer")


class Open(pydantic.BaseModel, extra="allow"):
    title: str = "none"


class Counted(pydantic.BaseModel):
    title: str = "none"

    @pydantic.computed_field
    def length(self) -> int:
        return len(self.title)


class Empty(msgspec.Struct):
    pass


@pytest.mark.parametrize(
    ("type_", "told", "where", "there_are"),
    [
        (Item, '{"naem": "x", "name": "x", "price": 1}', "answer.naem", "name, price, tags"),
        (Order, '{"items": [], "colour": "red", "nota": "x"}', "answer.nota", "items, colour, note"),
        (list[Item], '[{"name": "x", "price": 1, "tag": []}]', "answer[0].tag", "name, price, tags"),
        (Item | None, '{"name": "x", "price": 1, "tag": []}', "answer.tag", "name, price, tags"),
        (Plan, '{"title": "x", "depth": 1, "itmes": []}', "answer.itmes", "title, depth, items"),
        (Empty, '{"a": 1}', "answer.a", "none"),
    ],
    ids=str,
)
def test_a_field_that_a_type_does_not_have_is_refused_and_those_that_it_has_are_named(type_, told, where, there_are):
    with pytest.raises(UnfitAnswer, match=f"there is no such field; there are {there_are}") as refused:
        check(json.loads(told), schema_of(type_))
    assert refused.value.where == where


@pytest.mark.parametrize(("type_", "value"), [(Open, Open(title="x", more=3)), (Counted, Counted(title="x"))], ids=str)
def test_an_instance_is_an_answer_of_its_own_class(type_, value):
    told = to_json(value)
    check(json.loads(told), schema_of(type_))
    assert read_json(told, type_) == value


@pytest.mark.parametrize(("type_", "told"), FITTING, ids=str)
def test_a_schema_survives_being_stored(type_, told):
    check(json.loads(told), json.loads(json.dumps(schema_of(type_))))


def test_what_no_json_can_be_is_refused_when_it_is_asked_for():
    with pytest.raises(UsageError, match="cannot be a Strange"):
        schema_of(type("Strange", (), {}))


def test_text_that_is_no_json_is_said_to_be_none():
    with pytest.raises(UnfitAnswer, match="no JSON"):
        read_json(b'"', str)


def test_a_schema_that_refers_to_itself_without_end_ends():
    check([], {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})


def test_a_pattern_in_a_stored_schema_is_not_run():
    check("a" * 40 + "!", {"type": "string", "pattern": "^(a+)+$"})
