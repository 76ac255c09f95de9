"""Values as text for people who must judge by them: whole where that is possible, and saying so where it is not.

A one-line preview (`regrow.insight.preview`) is made from stored bytes and cut short. What somebody approves
must not hide behind an ellipsis: a cut here is long, and says how much it has left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from regrow.codec.failures import capture
from regrow.errors import Failure
from regrow.values.files import Dir, File
from regrow.values.secret import Secret, redact
from regrow.values.sizes import readable_size

_LONGEST: Final = 20_000
"""Characters of one piece. Somebody who gets more than ten pages to read approves without reading."""
_ROWS: Final = 20
_TABLES: Final = frozenset({"pandas", "polars", "pyarrow"})


def shown_to_people(value: object) -> str:
    """Give a value as text, with secrets blanked."""
    text = redact(_text(value))
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}\n[… {len(text) - _LONGEST} more characters]"


def exhibits_of(evidence: object) -> list[tuple[str, str]]:
    """Give evidence as titles and texts: a mapping's by its names, a list's by number, anything else as one."""
    match evidence:
        case None:
            return []
        case Mapping():
            return [(str(name), shown_to_people(value)) for name, value in evidence.items()]
        case list() | tuple():
            return [(str(number), shown_to_people(value)) for number, value in enumerate(evidence, start=1)]
        case _:
            return [("", shown_to_people(evidence))]


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case Failure():
            return value.describe()
        case BaseException():
            return capture(value).render()
        case File():
            return f"file {value.name}, {readable_size(value.size)}, SHA-256 {value.digest}"
        case Dir():
            return repr(value)
        case Secret():
            return repr(value)
        case _ if type(value).__module__.partition(".")[0] in _TABLES:
            return _table(value)
        case _:
            return _plain(value)


def _table(value: Any) -> str:
    if not hasattr(value, "shape") or not hasattr(value, "columns"):
        return str(value)
    rows, columns = (*value.shape, 1)[:2]
    head = value.head(_ROWS) if hasattr(value, "head") else value.slice(0, _ROWS)
    shown = head.to_string() if hasattr(head, "to_string") and not hasattr(head, "to_batches") else str(head)
    first = f", the first {_ROWS}" if rows > _ROWS else ""
    return f"{rows} rows, {columns} columns{first}:\n{shown}"


def _plain(value: object) -> str:
    """Give anything else: as JSON where it has that form, so that nested values can be read."""
    try:
        return msgspec.json.format(msgspec.json.encode(value, enc_hook=_dumped), indent=2).decode()
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError):
        return repr(value)


def _dumped(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")  # pydantic
    return repr(value)
