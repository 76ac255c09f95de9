"""What a worker may ask of its driver's store, besides recording: one method of one service at a time, by name.

What runs share (a cache, memories, questions to people) is kept in the store, and a worker holds no store. So inside a
worker each such service is a stand-in (`stand_in`) that sends what it is asked over the channel, and `serve` does it on
the driver's side. Which services and methods there are is listed in `OFFERED`; nothing else can be asked for. Arguments
and results are plain data and msgspec structs, and are checked against the annotations of the service's protocol.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast, get_type_hints

import msgspec

from regrow.engine.desk import Desk
from regrow.executors.messages import Request
from regrow.journal.cache import SharedCache
from regrow.journal.memories import Memories
from regrow.journal.signals import Signals


class Offer(msgspec.Struct, frozen=True):
    """A service that workers may ask for.

    Attributes:
        protocol: says what its methods take and give.
        methods: those that may be called from a worker.
    """

    protocol: type
    methods: frozenset[str]


_OF_MEMORIES = frozenset(
    [
        "write",
        "head",
        "pin",
        "count",
        "messages",
        "fact",
        "keys",
        "places",
        "stored",
        "history",
        "suspects",
        "search",
        "vectors",
        "keep_vectors",
    ]
)
OFFERED: Mapping[str, Offer] = {
    "cache": Offer(SharedCache, frozenset(("look_up", "put", "land", "discard"))),
    "asks": Offer(Desk, frozenset(("post", "look", "refuse", "withdraw", "remind"))),
    "signals": Offer(Signals, frozenset(("take", "give_back", "expect"))),
    "memories": Offer(Memories, _OF_MEMORIES),
}
"""By name. A method with a parameter called `run` or `project` is served for the worker's own run and project only."""


class NotOffered(Exception):
    """A worker has asked for what no worker asks for."""


@cache
def _shape(protocol: type, method: str) -> tuple[inspect.Signature, dict[str, Any]]:
    function = getattr(protocol, method)
    return inspect.signature(function), get_type_hints(function)


def stand_in(name: str, send: Callable[[str, str, dict[str, Any]], Any], offer: Offer) -> Any:
    """Give an object with a service's methods, which sends every call.

    Args:
        name: of the service.
        send: sends service, method and arguments; gives the plain result, or raises what the service raised.
        offer: what may be called.
    """
    return _StandIn(name, send, offer)


class _StandIn:
    def __init__(self, name: str, send: Callable[[str, str, dict[str, Any]], Any], offer: Offer) -> None:
        self._name = name
        self._send = send
        self._offer = offer

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method not in self._offer.methods:
            raise AttributeError(f"a worker cannot ask for {self._name}.{method}")
        signature, hints = _shape(self._offer.protocol, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(self, *args, **kwargs).arguments
            del given["self"]
            plain = {name: msgspec.to_builtins(value, builtin_types=(bytes,)) for name, value in given.items()}
            return msgspec.convert(self._send(self._name, method, plain), hints["return"])

        return call


def serve(service: object, offer: Offer, request: Request, *, run: str, project: str) -> object:
    """Do what a worker asks, and give the plain result.

    Args:
        service: what does it.
        offer: what may be asked of it.
        request: what is asked.
        run: the worker's run.
        project: the project of that.

    Raises:
        NotOffered: nobody may ask this, or not in another run's name.
        RegrowError: what the service raises.
    """
    if request.method not in offer.methods:
        raise NotOffered(f"{request.service}.{request.method}")
    _, hints = _shape(offer.protocol, request.method)
    own = {"run": run, "project": project}
    try:
        arguments = {name: msgspec.convert(value, hints[name]) for name, value in request.arguments.items()}
    except (KeyError, msgspec.ValidationError) as problem:
        raise NotOffered(f"{request.service}.{request.method}: {problem}") from None
    for name, value in own.items():
        if arguments.get(name, value) != value:
            raise NotOffered(f"{request.service}.{request.method} for {name} {arguments[name]!r}")
    result = getattr(service, request.method)(**arguments)
    return cast("object", msgspec.to_builtins(result, builtin_types=(bytes,)))
