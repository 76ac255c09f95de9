"""A hand for writing into the memories of a store, and for reading what came of it."""

from __future__ import annotations

from regrow.codec import decode, encode
from regrow.journal.memories import Change, Origin

ME = Origin("", "", "me@here", "", 1.0)


def message(text):
    return Change("message", "", encode(text), text=text)


def document(key, value):
    return Change("document", key, encode(value), text=str(value))


def write(store, *changes, memory="m", origin=ME, **how):
    return store.memories.write("default", memory, changes, origin, **how)


def texts(store, at, **which):
    return [decode(one.value) for one in store.memories.messages("default", at, **which)]


def value(store, at, key):
    found = store.memories.fact("default", at, "document", key)
    return None if found is None else decode(found.value)
