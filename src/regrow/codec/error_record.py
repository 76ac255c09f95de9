"""An exception as data, and as the few lines that a person or a model is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from regrow.codec.frames import Frame
from regrow.errors import Confidence, Layer

NetworkKind = Literal["rate-limited", "unavailable", "connection-lost"]

DEEPEST: Final = 17
"""How many records of exceptions lie one in another at most: causes, contexts and members of groups."""
RECORD: Final = "__regrow_record__"
"""The attribute by which an exception that was made out of a record remembers it."""


class NetworkView(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an exception said of the network when it was captured.

    The answer that it came with is no part of its record: its class belongs to a library, and it may hold anything.

    Attributes:
        kind: what it was.
        status: the HTTP status, if there was one.
        retry_after: the wait that was asked for, in seconds; None if it was not said.
        because: how it is known, as a part of a sentence about the exception.
        confidence: how sure it is.
    """

    kind: NetworkKind
    status: int | None = None
    retry_after: float | None = None
    because: str = ""
    confidence: Confidence = "certain"


class ErrorRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exception as data.

    Written as a map rather than an array: a version of regrow that knows more fields reads older records (they have
    defaults), and one that knows fewer skips what it does not know. Failures are rare enough for the names to cost
    nothing; defaults are left out.

    Attributes:
        type: the class, as ``module:qualname``.
        message: what ``str()`` gave.
        args: the encoded ``args``.
        attributes: the encoded instance attributes, by name.
        native: the encoded fields of Python's own exceptions, such as an OSError's errno, by name.
        notes: what ``add_note`` added.
        frames: the traceback, outermost frame first.
        cause: from ``raise … from …``.
        context: what was being handled meanwhile, unless it is the cause.
        suppress_context: whether a traceback hides the context.
        members: the exceptions in a group.
        layer: where it arose.
        network: what it said of the network, if it is about that.
    """

    type: str
    message: str
    args: bytes = b""
    attributes: bytes = b""
    native: bytes = b""
    notes: tuple[str, ...] = ()
    frames: tuple[Frame, ...] = ()
    cause: ErrorRecord | None = None
    context: ErrorRecord | None = None
    suppress_context: bool = False
    members: tuple[ErrorRecord, ...] = ()
    layer: Layer = "logical"
    network: NetworkView | None = None

    def depth(self) -> int:
        """Give how many records lie one in another, this one counted; found without descending into them.

        What somebody made up may be so deep that it is read here, and cannot be where the stack is a little higher.
        """
        depth, level = 0, [self]
        while level:
            depth += 1
            level = [inner for one in level for inner in (one.cause, one.context, *one.members) if inner is not None]
        return depth

    def within(self, depth: int) -> ErrorRecord:
        """Give it without what lies deeper than so many levels, of which this one is the first."""
        if self.depth() <= depth:
            return self
        return msgspec.structs.replace(
            self,
            cause=self.cause.within(depth - 1) if self.cause is not None and depth > 1 else None,
            context=self.context.within(depth - 1) if self.context is not None and depth > 1 else None,
            members=tuple(member.within(depth - 1) for member in self.members if depth > 1),
        )

    def summary(self) -> str:
        """Give it in one line, such as ``ValueError: message``."""
        name = self.type.rpartition(":")[2].rpartition(".")[2]
        first = self.message.partition("\n")[0]
        return f"{name}: {first}" if first else name

    def render(self, indent: int = 0) -> str:
        """Give it in a few lines: what happened, where in the user's own code, and what caused it.

        Args:
            indent: how many spaces to put before each line.
        """
        return "\n".join(" " * indent + line for line in self.lines())

    def lines(self) -> Iterator[str]:
        """Give what `render` joins, line by line."""
        yield self.summary()
        for line in self.message.splitlines()[1:]:
            yield f"  {line}"
        own = [frame for frame in self.frames if frame.own]
        if self.frames:
            frame = own[-1] if own else self.frames[-1]
            yield f"  at {frame.function} in {frame.file}:{frame.line}" + (f": {frame.code}" if frame.code else "")
        for note in self.notes:
            for line in note.splitlines():
                yield f"  {line}"
        for number, member in enumerate(self.members, 1):
            first, *rest = member.lines()
            yield f"  {number}. {first}"
            yield from (f"  {line}" for line in rest)
        earlier, word = (self.cause, "caused by") if self.cause else (self.context, "while handling")
        if earlier is not None and not (self.cause is None and self.suppress_context):
            first, *rest = earlier.lines()
            yield f"  {word} {first}"
            yield from rest


def record_of(error: BaseException) -> ErrorRecord | None:
    """Give the record that an exception was made out of; None if it was raised here."""
    state: dict[str, Any] = object.__getattribute__(error, "__dict__")
    record = state.get(RECORD)
    return record if type(record) is ErrorRecord else None
