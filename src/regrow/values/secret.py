"""A value that must not be written down, and the filter that keeps it out of text and bytes."""

from __future__ import annotations

import hmac
import json
import os
import weakref
from collections.abc import Iterator
from itertools import count
from typing import Final, NoReturn

from regrow.errors import NotStorable, UsageError

SHORTEST_REDACTED: Final = 4
"""Shorter secrets are not searched for: they would blank out half of any text, and protect nothing."""

_MASK: Final = "[secret]"

# Weak references without callbacks: a callback would run inside the garbage collector and change the table while it is
# being read. Entries of dead secrets are dropped by the next reader instead. Keys are serial numbers, because an `id`
# can be reused.
_live: dict[int, weakref.ref[Secret]] = {}
_serial = count()
# References are remembered by the name of their variable, which is no secret, so that the value which
# `Secret.from_env("KEY").reveal()` gave stays covered although the object died at once.
_revealed_variables: set[str] = set()


class Secret:
    """A value that regrow never stores, prints or sends to a log.

    ``Secret("…")`` holds the value itself and cannot be an input or a result of a run. ``Secret.from_env("NAME")`` is a
    reference: only the name is ever stored, and the value is looked up where it is needed, so it can be an input.
    """

    __slots__ = ("__weakref__", "_value", "_variable")

    _value: str | None
    _variable: str | None

    def __init__(self, value: str) -> None:
        """Hold a value.

        Args:
            value: the secret text.
        """
        object.__setattr__(self, "_value", value)
        object.__setattr__(self, "_variable", None)
        _live[next(_serial)] = weakref.ref(self)

    @classmethod
    def from_env(cls, name: str) -> Secret:
        """Refer to an environment variable, which is read at each `reveal` and not before.

        Args:
            name: the variable's name.
        """
        reference = object.__new__(cls)
        object.__setattr__(reference, "_value", None)
        object.__setattr__(reference, "_variable", name)
        return reference

    @property
    def variable(self) -> str | None:
        """The environment variable that this secret refers to; None if it holds its value itself."""
        return self._variable

    def reveal(self) -> str:
        """Give the secret text.

        Raises:
            UsageError: the environment variable is not set in this process.
        """
        if self._variable is None:
            return self._value or ""
        value = os.environ.get(self._variable)
        if value is None:
            msg = f"the secret {self._variable} is not in this process's environment: set it, or pass Secret(value)"
            raise UsageError(msg)
        _revealed_variables.add(self._variable)
        return value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if self._variable is not None or other._variable is not None:
            return self._variable == other._variable  # a name is no secret, and comparing must not resolve it
        mine, theirs = (s.reveal().encode("utf-8", "surrogatepass") for s in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self._variable, self._value))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        msg = "a Secret cannot be changed"
        raise AttributeError(msg)

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        where = "Secret"
        raise NotStorable(where, "is never pickled; hand over Secret.from_env(name) and reveal it where it is used")


def redact(text: str) -> str:
    """Replace every live secret's value in a text.

    Args:
        text: anything that is about to be stored or shown.

    Returns:
        The text with ``[secret]`` in place of each value of four or more characters, as it is or as `repr` or JSON
        writes it.
    """
    if not _live and not _revealed_variables:
        return text
    for form in _forms():
        text = text.replace(form, _MASK)
    return text


def contains_secret(data: bytes) -> bool:
    """Tell whether encoded bytes hold a live secret's value.

    Args:
        data: bytes that are about to be stored.
    """
    if not _live and not _revealed_variables:
        return False
    return any(form.encode("utf-8", "surrogatepass") in data for form in _forms())


def _forms() -> Iterator[str]:
    """Give what to look for, longest first: one secret may be a part of another.

    A value with quotes or line ends (a PEM key) is written otherwise by `repr` and in JSON.
    """
    found: set[str] = {os.environ.get(name, "") for name in tuple(_revealed_variables)}
    for key, reference in tuple(_live.items()):
        secret = reference()
        if secret is None:
            _live.pop(key, None)
        else:
            found.add(secret.reveal())
    values = [value for value in found if len(value) >= SHORTEST_REDACTED]
    forms = {form for value in values for form in (value, repr(value)[1:-1], json.dumps(value)[1:-1])}
    yield from sorted(forms, key=len, reverse=True)
