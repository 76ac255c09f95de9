"""What a worker may ask of its driver's store: listed methods, plain data, and its own run only."""

from __future__ import annotations

from typing import Protocol

import msgspec
import pytest

from regrow.executors.messages import Request
from regrow.executors.services import NotOffered, Offer, serve, stand_in


class Found(msgspec.Struct, frozen=True):
    key: bytes
    seconds: float


class Shelf(Protocol):
    def find(self, key: bytes, *, run: str) -> Found | None: ...
    def everything(self, run: str) -> list[Found]: ...
    def burn(self) -> None: ...


class Real:
    def __init__(self):
        self.burnt = False

    def find(self, key, *, run):
        return Found(key, 1.5) if run == "mine" and key == b"there" else None

    def everything(self, run):
        return [Found(b"1", 0.0), Found(b"2", 0.5)]

    def burn(self):
        self.burnt = True


OFFER = Offer(Shelf, frozenset({"find", "everything"}))


@pytest.fixture
def real():
    return Real()


@pytest.fixture
def shelf(real):
    def send(service, method, arguments):
        plain = msgspec.msgpack.decode(msgspec.msgpack.encode(arguments))
        result = serve(real, OFFER, Request(1, service, method, plain), run="mine", project="default")
        return msgspec.msgpack.decode(msgspec.msgpack.encode(result))

    return stand_in("shelf", send, OFFER)


def test_a_stand_in_gives_what_the_service_gives(shelf):
    assert shelf.find(b"there", run="mine") == Found(b"there", 1.5)
    assert shelf.find(b"elsewhere", run="mine") is None
    assert shelf.everything("mine") == [Found(b"1", 0.0), Found(b"2", 0.5)]


def test_what_is_not_offered_cannot_be_called(shelf, real):
    with pytest.raises(AttributeError, match=r"cannot ask for shelf\.burn"):
        shelf.burn()
    with pytest.raises(NotOffered):
        serve(real, OFFER, Request(1, "shelf", "burn", {}), run="mine", project="default")
    assert not real.burnt


def test_nothing_can_be_asked_in_the_name_of_another_run(shelf):
    with pytest.raises(NotOffered, match="for run 'another'"):
        shelf.find(b"there", run="another")


@pytest.mark.parametrize("arguments", [{"key": 5, "run": "mine"}, {"key": b"there", "run": "mine", "more": 1}])
def test_arguments_that_do_not_fit_are_refused(real, arguments):
    with pytest.raises(NotOffered):
        serve(real, OFFER, Request(1, "shelf", "find", arguments), run="mine", project="default")
